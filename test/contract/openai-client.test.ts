/** The official client, unmodified: what it sends is understood, and what it does on failures is what we mean it to do. */
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import { expect, test } from "vitest";
import { WeirError } from "../../engine/core/errors.ts";
import { ScriptedGenerator, scriptedCard } from "../support/scripted-generator.ts";
import { startTestServer, type TestServerSetup } from "../support/test-server.ts";

const NAME = "vendor/scripted-1";

async function start(setup: TestServerSetup = {}) {
  const generator = new ScriptedGenerator([scriptedCard(NAME)]);
  const server = await startTestServer({ generator, ...setup });
  const client = new OpenAI({ baseURL: `${server.baseUrl}/v1`, apiKey: "anything" });
  return { server, generator, client, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const messages = [{ role: "user" as const, content: "Hello" }];

async function until(what: () => boolean, ms = 2000): Promise<number> {
  const startedAt = performance.now();
  while (!what()) {
    if (performance.now() - startedAt > ms) throw new Error("it did not happen in time");
    await sleep(2);
  }
  return performance.now() - startedAt;
}

test("it chats, whole and streamed, with the same answer", async () => {
  await using place = await start();
  const { client } = place;
  const whole = await client.chat.completions.create({
    model: NAME,
    messages,
    seed: 7,
    max_completion_tokens: 12,
  });
  const stream = await client.chat.completions.create({
    model: NAME,
    messages,
    seed: 7,
    max_completion_tokens: 12,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let total: number | undefined;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    total = chunk.usage?.total_tokens ?? total;
  }
  expect(text).toBe(whole.choices[0]?.message.content);
  expect(total).toBe(whole.usage?.total_tokens);
  expect(whole._request_id).toMatch(/^req-/);
});

test("its streaming helper gathers the final message", async () => {
  await using place = await start();
  const runner = place.client.chat.completions.stream({
    model: NAME,
    messages,
    seed: 3,
    max_completion_tokens: 6,
  });
  const final = await runner.finalChatCompletion();
  expect(final.choices[0]?.message.role).toBe("assistant");
  expect(final.choices[0]?.finish_reason).toMatch(/^(stop|length)$/);
});

test("it completes text, whole and streamed", async () => {
  await using place = await start();
  const { client } = place;
  const whole = await client.completions.create({ model: NAME, prompt: "The river", seed: 1, max_tokens: 6 });
  const stream = await client.completions.create({
    model: NAME,
    prompt: "The river",
    seed: 1,
    max_tokens: 6,
    stream: true,
  });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.text ?? "";
  expect(text).toBe(whole.choices[0]?.text);
});

test("it lists and retrieves models whose names have slashes", async () => {
  await using place = await start();
  const names = [];
  for await (const model of place.client.models.list()) names.push(model.id);
  expect(names).toEqual([NAME]);
  expect((await place.client.models.retrieve(NAME)).id).toBe(NAME);
  await expect(place.client.models.retrieve("no/such")).rejects.toBeInstanceOf(OpenAI.NotFoundError);
});

test("leaving a stream ends the work at once", async () => {
  await using place = await start();
  place.generator.behave = () => ({ neverEnds: true, tokenMs: 5 });
  const stream = await place.client.chat.completions.create({ model: NAME, messages, stream: true });
  let chunks = 0;
  for await (const _ of stream) {
    chunks += 1;
    if (chunks === 3) break;
  }
  const [call] = place.generator.calls;
  expect(await until(() => call?.ended === "aborted")).toBeLessThan(1000);
});

test.each(["queued", "waiting for its first token", "computing a whole answer"])(
  "aborting a request that is %s ends its work at once",
  async (when) => {
    await using place = await start();
    const slow = { queued: { admissionMs: 60_000 }, "waiting for its first token": { queueMs: 60_000 } }[
      when
    ];
    place.generator.behave = () => slow ?? { neverEnds: true, tokenMs: 5 };
    const abort = new AbortController();
    const stream = when === "waiting for its first token";
    const asked = place.client.chat.completions
      .create({ model: NAME, messages, n: 2, stream }, { signal: abort.signal })
      .catch((error: unknown) => error);
    await until(() => place.generator.calls.length === 2);
    await sleep(30);
    abort.abort();
    expect(await until(() => place.generator.calls.every((call) => call.ended === "aborted"))).toBeLessThan(
      250,
    );
    const result = await asked;
    if (!stream) expect(result).toBeInstanceOf(OpenAI.APIUserAbortError);
    await until(() => place.server.log.some((line) => line.includes('"status":499')));
  },
);

test("it comes back after two refusals with 429, when it was told to", async () => {
  await using place = await start();
  const full = new WeirError("overloaded", "The queue is full.", { retryAfterMs: 40 });
  place.generator.behave = (_, call) => (call < 2 ? { failAdmission: full } : {});
  const startedAt = performance.now();
  const stream = await place.client.chat.completions.create({
    model: NAME,
    messages,
    stream: true,
    max_completion_tokens: 4,
  });
  for await (const _ of stream) expect(_.object).toBe("chat.completion.chunk");
  expect(place.generator.calls.map((call) => call.ended)).toEqual(["failed", "failed", "finished"]);
  const took = performance.now() - startedAt;
  expect(took).toBeGreaterThan(75);
  expect(took).toBeLessThan(1100); // its own back-off would be at least 375 and 750 ms
});

test("it does not come back after a permanent refusal", async () => {
  await using place = await start();
  place.generator.behave = () => ({
    failAdmission: new WeirError("model_load_failed", "The file is damaged."),
  });
  const asked = place.client.chat.completions.create({ model: NAME, messages });
  await expect(asked).rejects.toMatchObject({ status: 503, code: "model_load_failed" });
  expect(place.generator.calls).toHaveLength(1);
});

test("a failure in the middle of a stream reaches the caller as an error", async () => {
  await using place = await start();
  const error = new WeirError("backend_failed", "The lane died.");
  place.generator.behave = () => ({ text: "word ", neverEnds: true, failAfter: { tokens: 3, error } });
  const stream = await place.client.chat.completions.create({ model: NAME, messages, stream: true });
  let text = "";
  const read = async () => {
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  };
  await expect(read()).rejects.toMatchObject({
    code: "backend_failed",
    message: expect.stringMatching(/lane died/),
  });
  expect(text).not.toBe("");
});

test("its typed errors carry our codes and parameters", async () => {
  await using place = await start();
  const asked = place.client.completions.create({ model: NAME, prompt: "a", max_tokens: -1 });
  await expect(asked).rejects.toBeInstanceOf(OpenAI.BadRequestError);
  await expect(asked).rejects.toMatchObject({
    param: "max_tokens",
    type: "invalid_request_error",
    requestID: expect.stringMatching(/^req-/),
  });
});
