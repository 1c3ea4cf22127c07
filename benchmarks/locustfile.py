"""Load on the example application: both routes of ``caller/``, the first chunk in its own row.

    locust -f benchmarks/locustfile.py --host http://localhost:8000

docs/load-testing.md describes how to run it beside the dummy, and how to read the result.
"""

import time
from urllib.parse import quote

from locust import HttpUser, constant, task

QUESTION = "한국의 수도는 어디인가요?"
QUERY = f"?query={quote(QUESTION)}"


class Asker(HttpUser):
    """Sends a question, reads the answer, and sends the next after a second."""

    wait_time = constant(1)

    @task
    def chat(self) -> None:
        self.client.get(f"/chat{QUERY}", name="/chat")

    @task
    def streaming_chat(self) -> None:
        """Report ``/streaming/chat`` when the stream ends; Locust alone would at the head."""
        begun = time.perf_counter()
        name, first_ms, failed, length = "/streaming/chat", None, False, 0
        with self.client.get(
            f"/streaming/chat{QUERY}", stream=True, catch_response=True, name=name
        ) as answer:
            # Without a connection there is nothing to read, and Locust reports the error.
            for line in answer.iter_lines() if answer.raw else ():
                length += len(line)
                failed = failed or line == b"event: error"
                if line.startswith(b"data:") and failed:
                    answer.failure(line.decode())
                elif line.startswith(b"data:") and first_ms is None:
                    first_ms = 1000 * (time.perf_counter() - begun)
            answer.request_meta["response_time"] = 1000 * (time.perf_counter() - begun)
            answer.request_meta["response_length"] = length
            if answer.status_code == 200 and first_ms is None and not failed:
                answer.failure("no chunk came")
        if first_ms is not None:
            self.environment.events.request.fire(
                request_type="GET",
                name=f"{name} first chunk",
                response_time=first_ms,
                response_length=0,
                exception=None,
                context={},
            )
