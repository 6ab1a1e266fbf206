/** What clients get from a running weir, through the official client: the whole way from a socket to ONNX Runtime. */
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { send } from "../support/http-client.ts";
import { freePort, installTiny, Served, serve, temporaryHome, until } from "../support/served.ts";

const RESIDENT_OFF = "models.resident=false";
const clientOf = (served: Served, more: ConstructorParameters<typeof OpenAI>[0] = {}): OpenAI =>
  new OpenAI({ baseURL: `${served.url}/v1`, apiKey: "anything", ...more });
const messages = [{ role: "user" as const, content: "Tell me about the river" }];
/** Goes on until it is told otherwise. */
const endless = { ignore_eos: true, temperature: 0 } as const;

const home = temporaryHome();
beforeAll(async () => {
  await installTiny(home, "first", { seed: 1 });
  await installTiny(home, "vendor/second", { seed: 2, type: "Q4_0" });
  await installTiny(home, "slow", { seed: 3, layers: 8 });
});

describe("a server with installed models", () => {
  let served: Served;
  let client: OpenAI;
  beforeAll(async () => {
    served = await serve({ home, settings: [RESIDENT_OFF, "models.default=first"] });
    client = clientOf(served);
  });
  afterAll(() => served?.stop());

  test("chats, whole and streamed, with the same answer and usage", async () => {
    const asked = { model: "first", messages, seed: 7, max_completion_tokens: 12 };
    const whole = await client.chat.completions.create(asked);
    const stream = await client.chat.completions.create({
      ...asked,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(usage).toEqual(whole.usage);
    expect(whole.usage?.prompt_tokens).toBeGreaterThan(messages[0]?.content.length ?? 0);
  });

  test("completes texts, lists of texts and tokens, each as if it were alone", async () => {
    const complete = (prompt: string | string[] | number[]) =>
      client.completions.create({ model: "first", prompt, max_tokens: 8, temperature: 0 });
    const [one, two] = [await complete("The river"), await complete("A second one")];
    const both = await complete(["The river", "A second one"]);
    expect(both.choices.map(({ text }) => text)).toEqual([one.choices[0]?.text, two.choices[0]?.text]);
    const { json } = await send(`${served.url}/tokenize`, { model: "first", prompt: "The river" });
    expect((await complete(json.tokens)).choices[0]?.text).toBe(one.choices[0]?.text);
  });

  test("lists its models, the default first, and loads the others on their first use", async () => {
    const names: string[] = [];
    for await (const model of client.models.list()) names.push(model.id);
    expect(names[0]).toBe("first");
    expect(names.sort()).toEqual(["first", "slow", "vendor/second"]);
    const { json } = await send(`${served.url}/v1/models/vendor/second`);
    expect(json.meta).toMatchObject({ n_vocab: 512 });
    expect(await served.metric("weir_cache_tokens", 'model_name="vendor/second"')).toBe(0);
    const ask = (model: string) =>
      client.chat.completions.create({ model, messages, max_completion_tokens: 8, temperature: 0 });
    const [first, second] = await Promise.all([ask("first"), ask("vendor/second")]);
    expect(second.choices[0]?.message.content).not.toBe(first.choices[0]?.message.content);
    expect(await served.metric("weir_cache_tokens", 'model_name="vendor/second"')).toBeGreaterThan(0);
    expect(await served.metric("weir_cache_tokens", 'model_name="first"')).toBeGreaterThan(0);
  });

  test.each(["leaves the stream", "aborts its request"])("a client that %s stops the engine", async (how) => {
    const running = () => served.metric("vllm:num_requests_running");
    const abort = new AbortController();
    const stream = await client.completions.create(
      { model: "slow", prompt: "On and on", max_tokens: 1_900, stream: true, ...endless } as never,
      { signal: abort.signal },
    );
    let chunks = 0;
    try {
      for await (const _ of stream as unknown as AsyncIterable<unknown>) {
        chunks += 1;
        if (chunks === 5) expect(await running()).toBe(1);
        if (chunks < 5) continue;
        if (how === "leaves the stream") break;
        abort.abort();
      }
    } catch (error) {
      expect(error).toBeInstanceOf(OpenAI.APIUserAbortError);
    }
    const took = await until(async () => (await running()) === 0);
    expect(took).toBeLessThan(1_000);
    // Nothing is computed for nobody.
    const tokens = await served.metric("vllm:generation_tokens_total", 'model_name="slow"');
    await sleep(100);
    expect(await served.metric("vllm:generation_tokens_total", 'model_name="slow"')).toBe(tokens);
    expect(tokens).toBeLessThan(1_500);
  });

  test("a prompt over the context is refused with both numbers", async () => {
    const asked = client.completions.create({ model: "first", prompt: "x".repeat(2_500), max_tokens: 1 });
    await expect(asked).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      param: "prompt",
      message: expect.stringMatching(/has 2500 tokens.*2048 tokens/),
    });
    const chat = client.chat.completions.create({
      model: "first",
      messages: [{ role: "user", content: "long ".repeat(5_000) }],
    });
    await expect(chat).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      param: "messages",
    });
  });

  test("an unknown model is 404 and says what there is", async () => {
    const asked = client.chat.completions.create({ model: "gpt-9", messages });
    await expect(asked).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(asked).rejects.toMatchObject({ message: expect.stringContaining("vendor/second") });
  });

  test("a model that is installed while it runs is served, and a new version of it too", async () => {
    const ask = () =>
      client.completions.create({ model: "late", prompt: "The river", max_tokens: 8, temperature: 0 });
    await expect(ask()).rejects.toMatchObject({ status: 404 });
    await installTiny(home, "late", { seed: 10 });
    await sleep(600);
    const before = (await ask()).choices[0]?.text;
    await installTiny(home, "late", { seed: 11 });
    await sleep(600);
    expect((await ask()).choices[0]?.text).not.toBe(before);
  });
});

test("health is 503 until the model is loaded, then 200", async () => {
  const port = await freePort();
  const statuses: number[] = [];
  const served = new Served({ home, port, settings: [RESIDENT_OFF, "models.default=slow"] });
  await using _stops = served;
  const url = `http://127.0.0.1:${port}`;
  await until(async () => {
    const answer = await send(`${url}/health`).catch(() => undefined);
    if (answer !== undefined) statuses.push(answer.status);
    if (answer?.status !== 503) return answer?.status === 200;
    const early = await send(`${url}/v1/chat/completions`, { model: "slow", messages });
    // Between the two it may have become ready.
    if (early.status !== 200)
      expect(early).toMatchObject({ status: 503, json: { error: { code: "not_ready" } } });
    return false;
  }, 60_000);
  expect(new Set(statuses)).toEqual(new Set([503, 200]));
  expect(statuses.at(-1)).toBe(200);
});

test("a full queue answers 429, and the official client comes back until it is served", async () => {
  const single = ["choices", "prompts", "generations"].map((what) => `server.${what}_max=1`);
  await using served = await serve({
    home,
    settings: [RESIDENT_OFF, "models.default=first", "engine.rows_max=1", "engine.waiting_max=1", ...single],
  });
  const body = { model: "first", prompt: "The river", max_tokens: 400, ...endless };
  const all = await Promise.all(Array.from({ length: 6 }, () => send(`${served.url}/v1/completions`, body)));
  const refused = all.filter(({ status }) => status === 429);
  expect(all.filter(({ status }) => status === 200)).toHaveLength(2);
  expect(refused).toHaveLength(4);
  for (const { headers, json } of refused) {
    expect(json.error).toMatchObject({ code: "overloaded", type: "rate_limit_error" });
    expect(Number(headers.get("retry-after-ms"))).toBeGreaterThan(0);
    expect(headers.get("x-should-retry")).toBe("true");
  }
  const client = clientOf(served, { maxRetries: 20 });
  const answers = await Promise.all(
    Array.from({ length: 6 }, () =>
      client.completions.create(body as OpenAI.CompletionCreateParamsNonStreaming),
    ),
  );
  expect(new Set(answers.map(({ choices }) => choices[0]?.text)).size).toBe(1);
  expect(await served.metric("weir_errors_total", 'code="overloaded"')).toBeGreaterThan(4);
});

test("under a small memory budget models take turns, and one in use is not unloaded", async () => {
  // An f32 cache of 17 slots of 2,048 tokens takes some 18 MB, whatever the weights: there is room for one model.
  const budget = 24 * 2 ** 20;
  await using served = await serve({
    home,
    settings: [RESIDENT_OFF, "models.default=first", `models.memory_budget_bytes=${budget}`, "engine.kv=f32"],
  });
  const ask = (model: string, more: object = {}) =>
    send(`${served.url}/v1/completions`, {
      model,
      prompt: "The river",
      max_tokens: 8,
      temperature: 0,
      ...more,
    });
  const isLoaded = async (model: string) =>
    (await served.metric("weir_cache_tokens", `model_name="${model}"`)) > 0;
  const first = await ask("first");
  await ask("vendor/second");
  expect([await isLoaded("first"), await isLoaded("vendor/second")]).toEqual([false, true]);
  expect((await ask("first")).json.choices).toEqual(first.json.choices);
  expect([await isLoaded("first"), await isLoaded("vendor/second")]).toEqual([true, false]);

  const long = ask("first", { max_tokens: 2_000, ignore_eos: true });
  await until(async () => (await served.metric("vllm:num_requests_running")) === 1);
  const refused = await ask("vendor/second");
  expect(refused).toMatchObject({ status: 429, json: { error: { code: "overloaded", param: "model" } } });
  expect((await long).json.usage.completion_tokens).toBe(2_000);
  expect((await ask("vendor/second")).status).toBe(200);
});
