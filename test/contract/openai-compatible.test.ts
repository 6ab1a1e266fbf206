import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type OpenAiOptions, openAiCompatible } from "../../engine/cloud/providers/openai-compatible.ts";
import { secretRef } from "../../engine/cloud/secret-ref.ts";
import { type CloudDouble, startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import { eventsOf, openRemote, type RemoteSubject, remoteRequest, sumUp } from "../support/remote.ts";
import { providerSuite } from "./provider-suite.ts";

const options: OpenAiOptions = {
  auth: "bearer",
  query: "",
  maxTokensField: "max_completion_tokens",
  completions: false,
  extras: false,
};
const error = (code: string | null, type = "invalid_request_error") => ({
  error: { message: "CANARY of the prompt", type, param: null, code },
});

providerSuite("an OpenAI-compatible backend", {
  provider: openAiCompatible(options),
  base: "/v1",
  path: "/v1/chat/completions",
  secret: ["authorization", "Bearer key-1"],
  reasons: [
    ["stop", "stop"],
    ["length", "length"],
    ["tool_calls", "tool_calls"],
    ["function_call", "tool_calls"],
    ["content_filter", "content_filter"],
    ["eos_token", "stop"],
  ],
  namesCalls: true,
  errors: [
    [400, error("context_length_exceeded"), "context_length_exceeded"],
    [400, error(null), "invalid_request"],
    [400, { error: { code: 400, type: "exceed_context_size_error" } }, "context_length_exceeded"],
    [401, error("invalid_api_key"), "backend_refused"],
    [404, error("model_not_found"), "backend_refused"],
    [429, error("rate_limit_exceeded", "requests"), "overloaded"],
    [429, error("insufficient_quota", "insufficient_quota"), "backend_refused"],
    [500, error(null, "server_error"), "backend_failed"],
    [418, error("CANARY"), "invalid_request"],
  ],
  lies: [
    { prompt_tokens: -5, completion_tokens: -1 },
    { prompt_tokens: "11", completion_tokens: "7" },
    { prompt_tokens: 1e300, completion_tokens: 1e12 },
    { prompt_tokens: 1.5, completion_tokens: null },
    { prompt_tokens: 0, completion_tokens: 0, prompt_tokens_details: { cached_tokens: 1e6 } },
    { prompt_tokens: 90_000_000, completion_tokens: 90_000_000 },
  ],
});

describe("the wire of an OpenAI-compatible backend", () => {
  let double: CloudDouble;
  let open: RemoteSubject | undefined;
  beforeAll(async () => {
    double = await startCloudDouble();
  });
  afterAll(() => double.close());
  beforeEach(() => double.reset());
  afterEach(() => open?.egress.close());

  const sent = async (request = remoteRequest(), changes: Partial<OpenAiOptions> = {}) => {
    open = openRemote({
      port: double.port,
      provider: openAiCompatible({ ...options, ...changes }),
      options: { secret: secretRef("file:key") },
    });
    const answer = sumUp(await eventsOf(open.generator, request));
    const [seen] = (await double.record()).requests;
    if (seen === undefined) throw new Error("nothing was sent");
    return { answer, url: seen.url, headers: seen.headers, body: JSON.parse(seen.body) };
  };

  test("leaves out what is the default anyway", async () => {
    expect((await sent()).body).toEqual({
      model: "vendor-small-1",
      stream: true,
      stream_options: { include_usage: true },
      seed: 7,
      messages: [{ role: "user", content: "What is a river?" }],
    });
  });

  test("carries a whole conversation with calls and their results", async () => {
    const toolCalls = [{ id: "c1", name: "find", arguments: '{"q":1}' }];
    const { body } = await sent(
      remoteRequest({
        prompt: {
          kind: "chat",
          messages: [
            { role: "system", content: "Be brief." },
            { role: "user", content: "Find it", name: "ann" },
            { role: "assistant", content: "", toolCalls },
            { role: "tool", content: "found", toolCallId: "c1" },
          ],
          tools: [
            {
              type: "function",
              function: { name: "find", description: "d", parameters: { type: "object" }, hidden: "x" },
              hidden: "y",
            },
          ],
        },
      }),
    );
    expect(body.messages).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "Find it", name: "ann" },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "c1", type: "function", function: { name: "find", arguments: '{"q":1}' } }],
      },
      { role: "tool", content: "found", tool_call_id: "c1" },
    ]);
    expect(body.tools).toEqual([
      {
        type: "function",
        function: { name: "find", description: "d", parameters: { type: "object" } },
      },
    ]);
  });

  const steered = remoteRequest({
    maxTokens: 50,
    stop: ["END"],
    sampling: {
      ...{ temperature: 0, topP: 0.5, presencePenalty: 1, frequencyPenalty: -1, seed: 2 ** 40 + 3 },
      ...{ topK: 5, minP: 0.1, repetitionPenalty: 1.1 },
    },
  });

  test("carries the sampling that OpenAI knows, and vLLM's where the backend knows it", async () => {
    const known = {
      ...{ max_completion_tokens: 50, stop: ["END"], temperature: 0, top_p: 0.5 },
      ...{ presence_penalty: 1, frequency_penalty: -1, seed: 3 },
    };
    const { body } = await sent(steered);
    expect(body).toMatchObject(known);
    expect(Object.keys(body)).not.toContain("top_k");
    await double.reset();
    await open?.egress.close();
    const more = await sent(steered, { extras: true, maxTokensField: "max_tokens" });
    expect(more.body).toMatchObject({ max_tokens: 50, top_k: 5, min_p: 0.1, repetition_penalty: 1.1 });
    expect(Object.keys(more.body)).not.toContain("max_completion_tokens");
  });

  test("sends a text to /completions where the backend has it, and as a user's message elsewhere", async () => {
    const text = remoteRequest({ prompt: { kind: "text", text: "Once" }, maxTokens: 3 });
    await double.script({ kind: "answer", texts: [" upon", " a time"] });
    const direct = await sent(text, { completions: true });
    expect(direct.url).toBe("/v1/completions");
    expect(direct.body).toMatchObject({ prompt: "Once", max_tokens: 3 });
    expect(direct.answer.text).toBe(" upon a time");
    await double.reset();
    await open?.egress.close();
    const chat = await sent(text);
    expect(chat.body.messages).toEqual([{ role: "user", content: "Once" }]);
  });

  test("speaks Azure's dialect of addresses and keys", async () => {
    const azure = await sent(remoteRequest(), { auth: "api-key", query: "?api-version=2024-10-21" });
    expect(azure.url).toBe("/v1/chat/completions?api-version=2024-10-21");
    expect(azure.headers).toMatchObject({ "api-key": "key-1" });
    expect(azure.headers).not.toHaveProperty("authorization");
  });

  const chunk = (delta: object, reason: string | null = null) =>
    `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`;
  const call = (part: object) => chunk({ tool_calls: [part] });

  test("puts calls together that have no numbers, or repeat their ids", async () => {
    const body = [
      call({ id: "a", function: { name: "f", arguments: "{}" } }),
      call({ id: "b", function: { name: "g", arguments: "" } }),
      call({ function: { arguments: "[1]" } }),
      chunk({}, "tool_calls"),
    ].join("");
    await double.script({ kind: "raw", body });
    expect((await sent()).answer.calls).toEqual([
      { id: "a", name: "f", arguments: "{}" },
      { id: "b", name: "g", arguments: "[1]" },
    ]);
    await double.reset();
    await open?.egress.close();
    const repeated = [
      call({ index: 3, id: "a", function: { name: "f", arguments: "{" } }),
      call({ index: 3, id: "a", function: { name: "f", arguments: "}" } }),
      chunk({}, "tool_calls"),
    ].join("");
    await double.script({ kind: "raw", body: repeated });
    expect((await sent()).answer.calls).toEqual([{ id: "a", name: "f", arguments: "{}" }]);
  });

  test("reads a refusal as text, leaves reasoning out, and takes the end of the body for [DONE]", async () => {
    const body = [
      chunk({ role: "assistant", reasoning_content: "hm" }),
      chunk({ refusal: "I will not." }),
      chunk({}, "stop"),
    ].join("");
    await double.script({ kind: "raw", body });
    expect((await sent()).answer).toMatchObject({ text: "I will not.", reason: "stop" });
  });
});
