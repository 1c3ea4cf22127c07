import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.stream.Collectors;

/**
 * Asks each base URL each question, on one connection, as LangChain4j and Spring AI do by default:
 * with an offer to go on in HTTP/2. It prints the status, the source and the lines of each answer.
 */
public class Client {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();
        for (var baseUrl : arguments[0].split(",")) {
            for (var question = 1; question < arguments.length; question++) {
                var body = "{\"model\":\"m\",\"stream\":true,\"messages\":"
                        + "[{\"role\":\"user\",\"content\":\"" + arguments[question] + "\"}]}";
                var request = HttpRequest.newBuilder(URI.create(baseUrl + "/chat/completions"))
                        .header("Content-Type", "application/json")
                        .POST(BodyPublishers.ofString(body))
                        .build();
                var answer = client.send(request, BodyHandlers.ofLines());
                var source = answer.headers().firstValue("x-replay-source").orElse("");
                System.out.println(answer.statusCode() + " " + source + " "
                        + answer.body().collect(Collectors.joining("|")));
            }
        }
    }
}
