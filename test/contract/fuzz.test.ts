/** Whatever JSON comes in: an answer or a refusal, never a 500, never a hang. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { send } from "../support/http-client.ts";
import { complaints, openaiSchemaAvailable } from "../support/openai-schema.ts";
import { startTestServer, type TestServer } from "../support/test-server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server[Symbol.asyncDispose]());

const json = fc.jsonValue({ maxDepth: 3 });
/** Mostly what fits, now and then anything at all. */
const mostly = <T>(fits: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 40, arbitrary: fits },
    { weight: 1, arbitrary: json },
    { weight: 1, arbitrary: fc.constant(null) },
  );
const whole = (max: number) =>
  mostly(fc.oneof({ weight: 20, arbitrary: fc.nat(max) }, fc.integer(), fc.double()));
const share = mostly(
  fc.oneof({ weight: 20, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) }, fc.double()),
);
const flag = mostly(fc.boolean());
const text = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.constant("\uD800"));
const token = fc.oneof({ weight: 30, arbitrary: fc.nat(266) }, fc.integer());

const shared = {
  model: mostly(fc.constant("scripted")),
  temperature: share,
  top_p: share,
  n: mostly(fc.integer({ min: 1, max: 3 })),
  stop: mostly(fc.oneof(fc.array(fc.string({ minLength: 1 }), { maxLength: 4 }), text)),
  seed: mostly(fc.maxSafeInteger()),
  logit_bias: mostly(fc.dictionary(token.map(String), fc.integer({ min: -100, max: 100 }))),
  stream: flag,
  stream_options: mostly(fc.record({ include_usage: flag, include_obfuscation: flag }, { requiredKeys: [] })),
  top_k: whole(50),
  min_tokens: whole(1),
  stop_token_ids: mostly(fc.array(token)),
  return_token_ids: flag,
  frequency_penalty: share,
};

const prompts = fc.oneof(
  text,
  fc.array(text, { minLength: 1 }),
  fc.array(token, { minLength: 1 }),
  fc.array(fc.array(token, { minLength: 1 })),
);
const completion = fc.record(
  {
    ...shared,
    prompt: mostly(prompts),
    max_tokens: whole(30),
    logprobs: whole(5),
    echo: flag,
    best_of: mostly(fc.constant(1)),
  },
  { requiredKeys: ["model", "prompt"] },
);

const part = mostly(fc.record({ type: fc.constant("text"), text }));
const role = fc.constantFrom("system", "user", "assistant", "developer");
const message = mostly(fc.record({ role, content: fc.oneof(text, fc.array(part)) }));
const tool = fc.record({
  type: fc.constant("function"),
  function: fc.record({ name: fc.string({ minLength: 1 }), x: json }),
});
const chat = fc.record(
  {
    ...shared,
    messages: mostly(fc.array(message, { minLength: 1, maxLength: 4 })),
    max_completion_tokens: whole(30),
    logprobs: mostly(fc.constant(true)),
    top_logprobs: whole(20),
    tools: mostly(fc.array(tool)),
    tool_choice: mostly(fc.constantFrom("auto", "none")),
    response_format: mostly(fc.constant({ type: "text" })),
  },
  { requiredKeys: ["model", "messages", "logprobs"] },
);

const post = (path: string, body: fc.Arbitrary<unknown>) =>
  body.map((value) => [path, JSON.stringify(value)] as const);
const request = fc.oneof(
  { weight: 8, arbitrary: post("/v1/completions", completion) },
  { weight: 8, arbitrary: post("/v1/chat/completions", chat) },
  { weight: 1, arbitrary: post("/v1/completions", json) },
  { weight: 1, arbitrary: post("/tokenize", fc.record({ prompt: mostly(text), add_special_tokens: flag })) },
  { weight: 1, arbitrary: post("/detokenize", fc.record({ tokens: mostly(fc.array(token)) })) },
  { weight: 1, arbitrary: fc.string().map((body) => ["/v1/chat/completions", body] as const) },
);

test("any body gets an answer or a conforming refusal", async () => {
  const seen = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(request, async ([path, body]) => {
      const answer = await send(server.baseUrl + path, body, {
        method: "POST",
        signal: AbortSignal.timeout(5000),
      });
      seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
      expect([200, 400, 404], answer.text).toContain(answer.status);
      if (answer.status !== 200 && openaiSchemaAvailable)
        expect(complaints("ErrorResponse", answer.json)).toEqual([]);
      if (answer.headers.get("content-type")?.startsWith("text/event-stream") === true) {
        expect(answer.text.endsWith("data: [DONE]\n\n"), answer.text.slice(-300)).toBe(true);
      }
    }),
    { numRuns: 800 },
  );
  // The bodies must reach deep enough to be worth their time.
  expect(seen.get(200)).toBeGreaterThan(150);
  expect(seen.get(400)).toBeGreaterThan(100);
  expect(server.generator.calls.every((call) => call.ended !== "running")).toBe(true);
});
