/** Calls of tools on their way from a generator to OpenAI's own client. */
import OpenAI from "openai";
import { expect, test } from "vitest";
import { chunksOf, send } from "../support/http-client.ts";
import { conforms } from "../support/openai-schema.ts";
import { startTestServer, type TestServer } from "../support/test-server.ts";

const body = {
  model: "scripted",
  messages: [{ role: "user" as const, content: "What is the weather in Paris and in Rome?" }],
  max_completion_tokens: 2,
  temperature: 0,
};

function callsTwoTools(server: TestServer): void {
  server.generator.behave = () => ({
    neverEnds: true,
    text: "",
    toolCalls: [
      { id: "call_a", name: "weather", arguments: ['{"city":', '"Par\\"is"}'] },
      { id: "call_b", name: "weather", arguments: ["{}"] },
    ],
  });
}

const CALLS = [
  { id: "call_a", type: "function", function: { name: "weather", arguments: '{"city":"Par\\"is"}' } },
  { id: "call_b", type: "function", function: { name: "weather", arguments: "{}" } },
];

test("a whole answer holds the calls, no text, and says why it ended", async () => {
  await using server = await startTestServer();
  callsTwoTools(server);
  const { json } = await send(`${server.baseUrl}/v1/chat/completions`, body);
  conforms("CreateChatCompletionResponse", json);
  expect(json.choices[0]).toMatchObject({
    finish_reason: "tool_calls",
    message: { content: null, tool_calls: CALLS },
  });
});

test("a stream carries a call's name once and its arguments in parts", async () => {
  await using server = await startTestServer();
  callsTwoTools(server);
  const { text } = await send(`${server.baseUrl}/v1/chat/completions`, { ...body, stream: true });
  const chunks = chunksOf(text);
  for (const chunk of chunks) conforms("CreateChatCompletionStreamResponse", chunk);
  const deltas = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
  expect(deltas.filter((delta) => delta.id !== undefined)).toHaveLength(2);
  expect(chunks.at(-1).choices[0].finish_reason).toBe("tool_calls");
});

test("OpenAI's client puts a streamed call together", async () => {
  await using server = await startTestServer();
  callsTwoTools(server);
  const client = new OpenAI({ baseURL: `${server.baseUrl}/v1`, apiKey: "none", maxRetries: 0 });
  const final = await client.chat.completions.stream(body).finalChatCompletion();
  expect(final.choices[0]?.message.tool_calls).toMatchObject(CALLS);
});

test("completions, which know no tools, leave calls out and keep their text", async () => {
  await using server = await startTestServer();
  server.generator.behave = () => ({
    neverEnds: true,
    text: "a",
    toolCalls: [{ id: "c", name: "t", arguments: ["{}"] }],
  });
  const asked = { model: "scripted", prompt: "a", max_tokens: 2 };
  const { text } = await send(`${server.baseUrl}/v1/completions`, { ...asked, stream: true });
  const chunks = chunksOf(text);
  expect(chunks.map((chunk) => chunk.choices[0].text).join("")).toBe("aa");
  for (const chunk of chunks) conforms("CompletionChunk", chunk);
  const { json } = await send(`${server.baseUrl}/v1/completions`, asked);
  conforms("CreateCompletionResponse", json);
  expect(json.choices[0]).toMatchObject({ text: "aa", finish_reason: "stop" });
});
