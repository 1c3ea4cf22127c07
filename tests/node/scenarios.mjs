// openai-node and the AI SDK: they ask what OPENAI_BASE_URL names, and know of nothing else.
// Run as: node scenarios.mjs <groups> <JSON with what to ask>
// Prints one line of JSON a scenario: {"name", "value"}, or {"name", "error"} when it failed.

import { createOpenAI } from "@ai-sdk/openai";
import { embed, generateImage, generateText, jsonSchema, Output, streamText, tool } from "ai";
import OpenAI, { toFile } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false; // standard output is for outcomes

const selected = process.argv[2].split(",");
const asked = JSON.parse(process.argv[3]);
const client = new OpenAI();
const provider = createOpenAI();

const user = (content) => [{ role: "user", content }];
const LuckyNumber = z.object({ output: z.number() });

async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

// What an SDK raises, in words that can be compared.
async function raised(promise) {
  try {
    await promise;
  } catch (error) {
    return { class: error.constructor.name, status: error.status, type: error.type, code: error.code };
  }
  throw new Error("it did not raise");
}

const weatherTool = tool({
  description: asked.WEATHER_TOOL.function.description,
  inputSchema: jsonSchema(asked.WEATHER_TOOL.function.parameters),
  execute: async ({ location }) => `sunny in ${location}`,
});

// What a generated text is made of, without the times and ids that the AI SDK makes up.
const essence = ({ text, finishReason, usage, toolCalls, toolResults }) => ({
  text, finishReason, usage, toolCalls, toolResults,
});

const groups = {
  openai: {
    chat: () => client.chat.completions.create({ model: "gpt-4.1-nano", messages: user(asked.NOUN) }),
    chat_stream: async () =>
      all(await client.chat.completions.create({
        model: "gpt-5-mini",
        messages: user(asked.HI),
        stream: true,
        stream_options: { include_usage: true },
      })),
    tools: () =>
      client.chat.completions.create({
        model: "gpt-3.5-turbo", messages: user(asked.WEATHER), tools: [asked.WEATHER_TOOL],
      }),
    tools_stream: async () =>
      all(await client.chat.completions.create({
        model: "gpt-3.5-turbo", messages: user(asked.WEATHER), tools: [asked.WEATHER_TOOL], stream: true,
      })),
    parse: () =>
      client.chat.completions.parse({
        model: "gpt-4o",
        messages: user(asked.LUCKY),
        response_format: zodResponseFormat(LuckyNumber, "lucky_number"),
      }),
    responses: () => client.responses.create({ model: "gpt-4.1-nano", input: asked.PARIS }),
    responses_stream: async () =>
      all(await client.responses.create({ model: "gpt-4o", input: asked.COUNT, stream: true })),
    embeddings: () =>
      client.embeddings.create({ model: "text-embedding-ada-002", input: asked.EMBEDDED }),
    models: async () => all(await client.models.list()),
    upload: async () =>
      client.files.create({
        file: await toFile(Buffer.from(asked.TRAINING), "fine-tune.jsonl"), purpose: "fine-tune",
      }),
    speech: async () => {
      const answer = await client.audio.speech.create({
        model: "gpt-4o-mini-tts", voice: "alloy", input: asked.SPOKEN,
      });
      return Buffer.from(await answer.arrayBuffer()).toString("base64");
    },
    refused: () =>
      raised(client.chat.completions.create({
        model: "gpt-5-mini", messages: user(asked.REFUSED), stop: ["4242"],
      })),
  },

  ai_sdk: {
    ai_chat: async () =>
      essence(await generateText({ model: provider.chat("gpt-4.1-nano"), prompt: asked.NOUN })),
    ai_chat_stream: async () =>
      all(streamText({ model: provider.chat("gpt-5-mini"), prompt: asked.HI }).textStream),
    ai_tools: async () =>
      essence(await generateText({
        model: provider.chat("gpt-3.5-turbo"),
        prompt: asked.WEATHER,
        tools: { get_current_weather: weatherTool },
      })),
    ai_output: async () => {
      const output = Output.object({ schema: LuckyNumber });
      const model = provider.chat("gpt-4o");
      return (await generateText({ model, prompt: asked.LUCKY, output })).output;
    },
    ai_responses: async () =>
      essence(await generateText({ model: provider("gpt-4.1-nano"), prompt: asked.PARIS })),
    ai_responses_stream: async () =>
      all(streamText({ model: provider("gpt-4o"), prompt: asked.COUNT }).textStream),
    ai_embed: async () =>
      (await embed({
        model: provider.embedding("text-embedding-3-small"), value: asked.EMBEDDED_AS_FLOATS,
      })).embedding,
  },

  misses: {
    miss: () =>
      raised(client.chat.completions.create(
        { model: "gpt-4.1-nano", messages: user(asked.UNKNOWN) }, { query: { by: "openai" } },
      )),
    miss_stream: () =>
      raised(client.chat.completions.create(
        { model: "gpt-4.1-nano", messages: user(asked.UNKNOWN), stream: true },
        { query: { by: "openai-stream" } },
      )),
    miss_responses: () =>
      raised(client.responses.create({ model: "gpt-4.1-nano", input: asked.UNKNOWN })),
    ai_miss: async () => {
      try {
        await generateText({ model: provider.chat("gpt-4.1-nano"), prompt: asked.UNKNOWN });
      } catch (error) {
        return { status: error.statusCode, type: JSON.parse(error.responseBody).error.type };
      }
      throw new Error("it did not raise");
    },
  },

  unknown: {
    image: () => raised(client.images.generate({ model: "gpt-image-1", prompt: asked.HELLO })),
    ai_image: async () => {
      try {
        await generateImage({ model: provider.image("gpt-image-1"), prompt: asked.HELLO });
      } catch (error) {
        return { status: error.statusCode, code: JSON.parse(error.responseBody).error.code };
      }
      throw new Error("it did not raise");
    },
  },

  dummy: {
    chat: async () =>
      (await client.chat.completions.create({ model: "gpt-4o", messages: user(asked.HELLO) }))
        .choices[0].message.content,
    chat_stream: async () => {
      const stream = await client.chat.completions.create({
        model: "gpt-4o", messages: user(asked.HELLO), stream: true,
      });
      return (await all(stream)).map((chunk) => chunk.choices[0].delta.content).filter(Boolean);
    },
    ai_chat: async () =>
      (await generateText({ model: provider.chat("gpt-4o"), prompt: asked.HELLO })).text,
    ai_chat_stream: async () =>
      all(streamText({ model: provider.chat("gpt-4o"), prompt: asked.HELLO }).textStream),
  },
};

for (const name of selected) {
  for (const [scenario, run] of Object.entries(groups[name])) {
    const line = { name: scenario };
    try {
      line.value = await run();
    } catch (error) {
      line.error = error.stack ?? String(error);
    }
    console.log(JSON.stringify(line));
  }
}
