/** Chats: whole and streamed, with log-probabilities, and every role. */
import { expect, test } from "vitest";
import type { Api } from "../support/contract-api.ts";
import { chunksOf } from "../support/http-client.ts";
import { conforms } from "../support/openai-schema.ts";

export function chatTests({ chat }: Api): void {
  test("a chat answer conforms", async () => {
    const { status, json } = await chat({});
    expect(status).toBe(200);
    conforms("CreateChatCompletionResponse", json);
    expect(json.choices[0].message.role).toBe("assistant");
  });

  test("a streamed chat begins with the role and has the same text as a whole one", async () => {
    const whole = await chat({});
    const streamed = await chat({ stream: true, stream_options: { include_usage: true } });
    const chunks = chunksOf(streamed.text);
    for (const chunk of chunks) conforms("CreateChatCompletionStreamResponse", chunk);
    expect(chunks[0].choices[0].delta.role).toBe("assistant");
    const last = chunks.pop();
    expect(last.choices).toEqual([]);
    expect(last.usage.total_tokens).toBe(whole.json.usage.total_tokens);
    expect(chunks.every((chunk) => chunk.usage === null && chunk.id === chunks[0].id)).toBe(true);
    const text = chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");
    expect(text).toBe(whole.json.choices[0].message.content);
    expect(chunks.at(-1).choices[0].finish_reason).toBe(whole.json.choices[0].finish_reason);
  });

  test("chat log-probabilities conform, whole and streamed, and their bytes make the text", async () => {
    const body = { logprobs: true, top_logprobs: 3, n: 2 };
    const whole = await chat(body);
    conforms("CreateChatCompletionResponse", whole.json);
    const { message, logprobs } = whole.json.choices[0];
    const bytes = logprobs.content.flatMap((token: { bytes: number[] }) => token.bytes);
    expect(Buffer.from(bytes).toString("utf8").startsWith(message.content)).toBe(true);
    expect(logprobs.content[0].top_logprobs).toHaveLength(3);
    const chunks = chunksOf((await chat({ ...body, stream: true })).text);
    for (const chunk of chunks) conforms("CreateChatCompletionStreamResponse", chunk);
    const streamed = chunks
      .filter((chunk) => chunk.choices[0].index === 0)
      .flatMap((chunk) => chunk.choices[0].logprobs?.content ?? []);
    expect(streamed).toEqual(logprobs.content);
  });

  test("every role and text parts are understood", async () => {
    const messages = [
      { role: "system", content: "Be brief." },
      { role: "developer", content: [{ type: "text", text: "Be kind." }] },
      {
        role: "user",
        content: [
          { type: "text", text: "One" },
          { type: "text", text: "Two" },
        ],
        name: "ada",
      },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: "{}" } }],
      },
      { role: "tool", content: "42", tool_call_id: "c1" },
      { role: "assistant", content: "It is 42." },
      { role: "user", content: "Thanks" },
    ];
    const answer = await chat({ messages, response_format: { type: "text" } });
    expect(answer.status, answer.text).toBe(200);
    conforms("CreateChatCompletionResponse", answer.json);
  });

  test("include_obfuscation evens out the chunks' lengths", async () => {
    const answer = await chat({ stream: true, stream_options: { include_obfuscation: true } });
    const chunks = chunksOf(answer.text);
    for (const chunk of chunks) conforms("CreateChatCompletionStreamResponse", chunk);
    expect(chunks.every((chunk) => typeof chunk.obfuscation === "string")).toBe(true);
  });
}
