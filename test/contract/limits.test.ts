/** Limits of a key, seen from outside: what is left stands in headers, and what is used is counted however an answer ends. */
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import { expect, test } from "vitest";
import { type Principal, unlimited } from "../../server/ports.ts";
import { startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import { send } from "../support/http-client.ts";
import { doubleBackend, startRoutedServer } from "../support/routed-server.ts";
import { ScriptedGenerator } from "../support/scripted-generator.ts";
import { startTestServer } from "../support/test-server.ts";

const start = (limits: Partial<Principal>, generator = new ScriptedGenerator()) =>
  startTestServer({
    generator,
    ports: { access: { kind: "open", principal: { ...unlimited("shop", "k1"), ...limits } } },
  });
const body = { model: "scripted", prompt: "a", max_tokens: 5 };
const left = (headers: Headers, what: string) => Number(headers.get(`x-ratelimit-remaining-${what}`));

test("requests a minute: the next one is 429 with the time to wait, and OpenAI's client understands it", async () => {
  await using server = await start({ requestsPerMinute: 2 });
  const first = await send(`${server.baseUrl}/v1/completions`, body);
  expect([first.status, left(first.headers, "requests")]).toEqual([200, 1]);
  expect(first.headers.get("x-ratelimit-limit-requests")).toBe("2");
  await send(`${server.baseUrl}/v1/completions`, body);
  const third = await send(`${server.baseUrl}/v1/completions`, body);
  expect(third.status).toBe(429);
  expect(third.json.error).toMatchObject({ code: "rate_limited", type: "rate_limit_error" });
  const waitMs = Number(third.headers.get("retry-after-ms"));
  expect(waitMs).toBeGreaterThan(25_000);
  expect(waitMs).toBeLessThanOrEqual(30_000);
  const client = new OpenAI({ baseURL: `${server.baseUrl}/v1`, apiKey: "any", maxRetries: 0 });
  await expect(client.completions.create(body)).rejects.toBeInstanceOf(OpenAI.RateLimitError);
});

test("tokens a minute: reserved by an estimate, settled by what was used, whole and streamed", async () => {
  await using server = await start({ tokensPerMinute: 10_000 });
  for (const stream of [false, true]) {
    const before = left(
      (await send(`${server.baseUrl}/v1/completions`, { ...body, max_tokens: 1 })).headers,
      "tokens",
    );
    const answer = await send(`${server.baseUrl}/v1/completions`, {
      ...body,
      max_tokens: 4000,
      stream,
      stop: ["."],
      seed: 3,
    });
    expect(answer.status).toBe(200);
    const after = left(
      (await send(`${server.baseUrl}/v1/completions`, { ...body, max_tokens: 1 })).headers,
      "tokens",
    );
    expect(before - after).toBeLessThan(3000);
  }
});

test("requests that generate nothing count as requests, and a guess of ours refuses no small key", async () => {
  await using server = await start({ requestsPerMinute: 4, tokensPerMinute: 200 });
  const { headers } = await send(`${server.baseUrl}/tokenize`, { model: "scripted", prompt: "a" });
  expect([left(headers, "requests"), left(headers, "tokens")]).toEqual([3, 200]);
  const explained = await send(`${server.baseUrl}/v1/route/explain`, { prompt: "a" });
  expect(left(explained.headers, "requests")).toBe(2);
  const messages = [{ role: "user", content: "a" }];
  for (const stream of [false, true]) {
    const answer = await send(`${server.baseUrl}/v1/chat/completions`, {
      model: "scripted",
      messages,
      stream,
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.has("x-ratelimit-remaining-tokens")).toBe(true);
  }
  expect((await send(`${server.baseUrl}/detokenize`, { model: "scripted", tokens: [65] })).status).toBe(429);
});

test("a request that could never fit is told so, with the parameter to change", async () => {
  await using server = await start({ tokensPerMinute: 100 });
  const answer = await send(`${server.baseUrl}/v1/completions`, { ...body, max_tokens: 500 });
  expect(answer.status).toBe(400);
  expect(answer.json.error).toMatchObject({ code: "invalid_request", param: "max_tokens" });
});

test("what a client that leaves has used counts, and the rest of its reservation comes back", async () => {
  const generator = new ScriptedGenerator();
  generator.behave = () => ({ tokenMs: 5, neverEnds: true });
  await using server = await start({ tokensPerMinute: 10_000 }, generator);
  const leaving = new AbortController();
  const answer = await fetch(`${server.baseUrl}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, max_tokens: 1000, stream: true }),
    signal: leaving.signal,
  });
  await answer.body?.getReader().read();
  leaving.abort();
  await sleep(100);
  generator.behave = () => ({});
  const next = await send(`${server.baseUrl}/v1/completions`, { ...body, max_tokens: 1 });
  expect(left(next.headers, "tokens")).toBeGreaterThan(9_500);
  expect(left(next.headers, "tokens")).toBeLessThan(10_000);
});

test("a refused request gives its reservation back", async () => {
  await using server = await start({ tokensPerMinute: 10_000 });
  await send(`${server.baseUrl}/v1/completions`, { ...body, model: "nobody", max_tokens: 9000 });
  const next = await send(`${server.baseUrl}/v1/completions`, { ...body, max_tokens: 1 });
  expect(left(next.headers, "tokens")).toBeGreaterThan(9_500);
});

test("a key without limits has no such headers", async () => {
  await using server = await start({});
  const { headers } = await send(`${server.baseUrl}/v1/completions`, body);
  expect([...headers.keys()].filter((name) => name.startsWith("x-ratelimit"))).toEqual([]);
});

test("a backend that lies about its tokens locks no key out, and no client is told of them", async () => {
  const double = await startCloudDouble();
  const usage = { prompt_tokens: 90_000_000, completion_tokens: 90_000_000 };
  await double.script({ kind: "answer", texts: ["Water."], usage });
  const principal = { ...unlimited("shop", "k1"), tokensPerMinute: 20_000 };
  await using routed = await startRoutedServer({
    backends: { cloud: doubleBackend(double.port) },
    ports: { access: { kind: "open", principal } },
  });
  const ask = () =>
    send(`${routed.url}/v1/chat/completions`, {
      model: "cloud/large",
      messages: [{ role: "user", content: "What is a river?" }],
      max_tokens: 20,
    });
  const first = await ask();
  expect(first.status).toBe(200);
  expect(first.json.usage.total_tokens).toBeLessThan(200);
  const second = await ask();
  expect(second.status).toBe(200);
  expect(left(second.headers, "tokens")).toBeGreaterThan(18_000);
  await double.close();
});
