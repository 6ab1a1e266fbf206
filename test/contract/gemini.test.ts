import { describe, expect, test } from "vitest";
import { gemini } from "../../engine/cloud/providers/gemini.ts";
import { remoteRequest } from "../support/remote.ts";
import { providerSuite } from "./provider-suite.ts";

const provider = gemini();
const error = (status: string, details: readonly object[] = []) => ({
  error: { code: 400, message: "CANARY of the prompt", status, details },
});

providerSuite("Google's Gemini", {
  provider,
  base: "/v1beta",
  path: "/v1beta/models/vendor-small-1:streamGenerateContent?alt=sse",
  secret: ["x-goog-api-key", "key-1"],
  reasons: [
    ["STOP", "stop"],
    ["MAX_TOKENS", "length"],
    ["SAFETY", "content_filter"],
    ["RECITATION", "content_filter"],
    ["PROHIBITED_CONTENT", "content_filter"],
    ["SPII", "content_filter"],
    ["OTHER", "stop"],
  ],
  namesCalls: false,
  errors: [
    [400, error("INVALID_ARGUMENT"), "invalid_request"],
    [400, error("FAILED_PRECONDITION"), "backend_refused"],
    [403, error("PERMISSION_DENIED"), "backend_refused"],
    [404, error("NOT_FOUND"), "backend_refused"],
    [429, error("RESOURCE_EXHAUSTED"), "overloaded"],
    [500, error("INTERNAL"), "backend_failed"],
    [503, error("UNAVAILABLE"), "backend_failed"],
    [504, error("DEADLINE_EXCEEDED"), "backend_failed"],
    [400, error("CANARY"), "invalid_request"],
  ],
  lies: [
    { promptTokenCount: -5, candidatesTokenCount: -1 },
    { promptTokenCount: "11", candidatesTokenCount: "7" },
    { promptTokenCount: 1e300, candidatesTokenCount: 1e12 },
    { promptTokenCount: 4, candidatesTokenCount: 7, thoughtsTokenCount: -3 },
    { promptTokenCount: 0, candidatesTokenCount: 0, cachedContentTokenCount: 1e6 },
    { promptTokenCount: 90_000_000, candidatesTokenCount: 7, thoughtsTokenCount: 90_000_000 },
  ],
});

describe("a request to Gemini", () => {
  test("leaves out what is the default", () => {
    expect(provider.encode(remoteRequest(), "g").body).toEqual({
      contents: [{ role: "user", parts: [{ text: "What is a river?" }] }],
      generationConfig: { seed: 7 },
    });
  });

  test("has instructions apart, and calls and results as parts", () => {
    const toolCalls = [
      { id: "c1", name: "find", arguments: '{"q":1}' },
      { id: "c2", name: "look", arguments: "{}" },
    ];
    const { body } = provider.encode(
      remoteRequest({
        prompt: {
          kind: "chat",
          messages: [
            { role: "system", content: "Be brief." },
            { role: "user", content: "Find it" },
            { role: "assistant", content: "I look.", toolCalls },
            { role: "tool", content: '{"a":1}', toolCallId: "c1" },
            { role: "tool", content: "nothing", toolCallId: "c2" },
          ],
          tools: [{ type: "function", function: { name: "find", parameters: { type: "object" } } }],
        },
      }),
      "g",
    );
    const thoughtSignature = "skip_thought_signature_validator";
    expect(body).toMatchObject({
      systemInstruction: { parts: [{ text: "Be brief." }] },
      contents: [
        { role: "user", parts: [{ text: "Find it" }] },
        {
          role: "model",
          parts: [
            { text: "I look." },
            { functionCall: { name: "find", args: { q: 1 } }, thoughtSignature },
            { functionCall: { name: "look", args: {} }, thoughtSignature },
          ],
        },
        {
          role: "user",
          parts: [
            { functionResponse: { name: "find", response: { a: 1 } } },
            { functionResponse: { name: "look", response: { result: "nothing" } } },
          ],
        },
      ],
      tools: [{ functionDeclarations: [{ name: "find", parametersJsonSchema: { type: "object" } }] }],
    });
  });

  test("carries its sampling", () => {
    const sampling = {
      temperature: 0,
      topP: 0.5,
      topK: 3,
      presencePenalty: 1,
      frequencyPenalty: 2,
      seed: 2 ** 33,
    };
    const { body } = provider.encode(remoteRequest({ sampling, maxTokens: 9, stop: ["END"] }), "g");
    expect(body["generationConfig"]).toEqual({
      ...{ seed: 0, temperature: 0, topP: 0.5, topK: 3, presencePenalty: 1, frequencyPenalty: 2 },
      ...{ maxOutputTokens: 9, stopSequences: ["END"] },
    });
  });
});

describe("an answer of Gemini", () => {
  const read = (...chunks: readonly object[]) => {
    const reader = provider.open(remoteRequest({ id: "r", choice: 2 }));
    return chunks.flatMap((chunk) => reader({ type: "message", data: JSON.stringify(chunk) }));
  };
  const parts = (...list: readonly object[]) => ({ candidates: [{ content: { parts: list } }] });

  test("that was blocked before it began is a filtered one", () => {
    expect(read({ promptFeedback: { blockReason: "SAFETY" } })).toEqual([
      { kind: "reason", reason: "content_filter" },
    ]);
  });

  test("keeps the ids of calls that have some, and gives the others ids of their own", () => {
    const pieces = read(
      parts({ functionCall: { id: "x", name: "f" } }),
      parts({ functionCall: { name: "g", args: { a: 1 } } }),
    );
    expect(pieces).toEqual([
      { kind: "tool_call", index: 0, opening: { id: "x", name: "f" }, arguments: "{}" },
      { kind: "tool_call", index: 1, opening: { id: "call_r_2_1", name: "g" }, arguments: '{"a":1}' },
    ]);
  });

  test("that could not write its call is a failure", () => {
    expect(read({ candidates: [{ finishReason: "MALFORMED_FUNCTION_CALL" }] })).toMatchObject([
      { kind: "problem", problem: { code: "backend_failed" } },
    ]);
  });

  test("says among an error's details when to come back", () => {
    const details = [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "17.5s" }];
    const body = JSON.stringify(error("RESOURCE_EXHAUSTED", details));
    expect(provider.problem(429, body)).toMatchObject({ code: "overloaded", retryAfterMs: 17_500 });
    expect(provider.problem(429, "[]")).not.toHaveProperty("retryAfterMs");
  });
});
