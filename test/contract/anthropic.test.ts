import { describe, expect, test } from "vitest";
import { anthropic } from "../../engine/cloud/providers/anthropic.ts";
import type { ChatMessage } from "../../engine/core/request.ts";
import { remoteRequest } from "../support/remote.ts";
import { providerSuite } from "./provider-suite.ts";

const provider = anthropic({ maxTokensDefault: 4096 });
const error = (type: string) => ({ type: "error", error: { type, message: "CANARY of the prompt" } });

providerSuite("Anthropic's Messages", {
  provider,
  base: "/v1",
  path: "/v1/messages",
  secret: ["x-api-key", "key-1"],
  reasons: [
    ["end_turn", "stop"],
    ["stop_sequence", "stop"],
    ["max_tokens", "length"],
    ["model_context_window_exceeded", "length"],
    ["tool_use", "tool_calls"],
    ["refusal", "content_filter"],
    ["something_new", "stop"],
  ],
  namesCalls: true,
  errors: [
    [400, error("invalid_request_error"), "invalid_request"],
    [401, error("authentication_error"), "backend_refused"],
    [402, error("billing_error"), "backend_refused"],
    [403, error("permission_error"), "backend_refused"],
    [404, error("not_found_error"), "backend_refused"],
    [413, error("request_too_large"), "body_too_large"],
    [429, error("rate_limit_error"), "overloaded"],
    [500, error("api_error"), "backend_failed"],
    [504, error("timeout_error"), "backend_failed"],
    [529, error("overloaded_error"), "overloaded"],
    [400, error("CANARY"), "invalid_request"],
  ],
  lies: [
    { input_tokens: -5, output_tokens: -1 },
    { input_tokens: "11", output_tokens: "7" },
    { input_tokens: 1e300, output_tokens: 1e12 },
    { input_tokens: 4, cache_read_input_tokens: -3, output_tokens: null },
    { input_tokens: 0, output_tokens: 0 },
    { input_tokens: 90_000_000, output_tokens: 90_000_000 },
  ],
});

describe("a request to Anthropic", () => {
  const body = (messages: readonly ChatMessage[], tools?: readonly unknown[]) =>
    provider.encode(
      remoteRequest({
        prompt: { kind: "chat", messages, ...(tools === undefined ? {} : { tools }) },
      }),
      "claude",
    ).body;

  test("always has a bound, and leaves out what is the default", () => {
    expect(body([{ role: "user", content: "Hi" }])).toEqual({
      model: "claude",
      max_tokens: 4096,
      stream: true,
      messages: [{ role: "user", content: [{ type: "text", text: "Hi" }] }],
    });
  });

  test("has all instructions in one place, and calls and results as blocks in turns that alternate", () => {
    const found = body(
      [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Find both" },
        {
          role: "assistant",
          content: "",
          toolCalls: [
            { id: "call:1", name: "find", arguments: '{"q":1}' },
            { id: "call_2", name: "find", arguments: "" },
          ],
        },
        { role: "tool", content: "one", toolCallId: "call:1" },
        { role: "tool", content: "two", toolCallId: "call_2" },
        { role: "developer", content: "In English." },
        { role: "user", content: "And now?" },
      ],
      [
        {
          type: "function",
          function: { name: "find", description: "d", parameters: { type: "object", a: 1 } },
        },
      ],
    );
    expect(found).toMatchObject({
      system: "Be brief.\n\nIn English.",
      messages: [
        { role: "user", content: [{ type: "text", text: "Find both" }] },
        {
          role: "assistant",
          content: [
            { type: "tool_use", id: "call_1", name: "find", input: { q: 1 } },
            { type: "tool_use", id: "call_2", name: "find", input: {} },
          ],
        },
        {
          role: "user",
          content: [
            { type: "tool_result", tool_use_id: "call_1", content: "one" },
            { type: "tool_result", tool_use_id: "call_2", content: "two" },
            { type: "text", text: "And now?" },
          ],
        },
      ],
      tools: [{ name: "find", description: "d", input_schema: { type: "object", a: 1 } }],
    });
  });

  test("carries one of temperature and top_p, within its bounds", () => {
    const of = (sampling: object) => provider.encode(remoteRequest({ sampling }), "claude").body;
    expect(of({ temperature: 1.7, topP: 0.5 })).toMatchObject({ temperature: 1 });
    expect(of({ temperature: 0, topP: 0.5 })).not.toHaveProperty("top_p");
    expect(of({ topP: 0.5, topK: 9 })).toMatchObject({ top_p: 0.5, top_k: 9 });
    const bounded = provider.encode(remoteRequest({ maxTokens: 5, stop: ["END"] }), "claude").body;
    expect(bounded).toMatchObject({ max_tokens: 5, stop_sequences: ["END"] });
  });

  test.each(["{oops", "[1]", '"text"'])("is refused where a call's arguments are no object: %s", (text) => {
    const toolCalls = [{ id: "a", name: "f", arguments: text }];
    expect(() => body([{ role: "assistant", content: "", toolCalls }])).toThrow(
      expect.objectContaining({ code: "invalid_request", message: expect.not.stringContaining(text) }),
    );
  });
});
