/** Streams when something is not as it should be: failures, slow readers, silence, clients that leave, shutdown. */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { WeirError } from "../../engine/core/errors.ts";
import { chunksOf, send } from "../support/http-client.ts";
import { conforms } from "../support/openai-schema.ts";
import { startTestServer, type TestServer } from "../support/test-server.ts";

const MODEL = "scripted";
const completion = (server: TestServer, body: object) =>
  send(`${server.baseUrl}/v1/completions`, {
    model: MODEL,
    prompt: "a",
    temperature: 0,
    max_tokens: 500,
    ...body,
  });

/** A raw request, so that the test decides what is read and when. */
function open(server: TestServer, body: object): Socket {
  const text = JSON.stringify({ model: MODEL, prompt: "a", temperature: 0, max_tokens: 500, ...body });
  const socket = connect(Number(new URL(server.baseUrl).port), "127.0.0.1");
  const head = `POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n`;
  socket.write(head + text);
  socket.on("error", () => undefined);
  return socket;
}

const ended = (server: TestServer) => server.generator.calls.map((call) => call.ended);

test("a failure after the first tokens ends the stream with a conforming error and no [DONE]", async () => {
  await using server = await startTestServer();
  const error = new WeirError("backend_failed", "The lane died.");
  server.generator.behave = () => ({ neverEnds: true, failAfter: { tokens: 5, error } });
  const answer = await completion(server, { stream: true });
  expect(answer.status).toBe(200);
  const chunks = chunksOf(answer.text, "cut");
  conforms("ErrorResponse", chunks.at(-1));
  expect(chunks.at(-1).error.code).toBe("backend_failed");
  expect(chunks.length).toBeGreaterThan(1);
  expect(answer.text).not.toContain("[DONE]");
});

test("a bug behind the seam is a 500 that gives nothing away, and its place is logged, not its words", async () => {
  await using server = await startTestServer();
  server.generator.behave = () => ({ failAdmission: new Error("secret internals") });
  const answer = await completion(server, { stream: true });
  conforms("ErrorResponse", answer.json);
  expect([answer.status, answer.json.error.code]).toEqual([500, "internal"]);
  expect(answer.text).not.toContain("secret");
  expect(server.log.join("")).toMatch(/"msg":"a request failed"/);
  expect(server.log.join("")).toMatch(/"type":"Error","at":\["[^"]*streams\.test\.ts:\d+/);
  // A runtime's own message may quote the request.
  expect(server.log.join("")).not.toContain("secret internals");
});

test("one choice that is refused refuses the request before any header, and ends the others", async () => {
  await using server = await startTestServer();
  const full = new WeirError("overloaded", "The queue is full.", { retryAfterMs: 1234.5 });
  server.generator.behave = (request) =>
    request.choice === 2 ? { failAdmission: full, admissionMs: 20 } : { neverEnds: true, queueMs: 60_000 };
  const answer = await completion(server, { stream: true, n: 4 });
  expect(answer.status).toBe(429);
  expect(answer.headers.get("retry-after-ms")).toBe("1235");
  expect(answer.headers.get("retry-after")).toBe("2");
  expect(answer.headers.get("x-should-retry")).toBe("true");
  expect(answer.json.error).toMatchObject({ type: "rate_limit_error", code: "overloaded" });
  expect(ended(server).filter((end) => end !== "running")).toHaveLength(4);
});

test("one choice that fails in the middle ends the others too", async () => {
  await using server = await startTestServer();
  const error = new WeirError("backend_failed", "The lane died.");
  server.generator.behave = (request) =>
    request.choice === 1
      ? { neverEnds: true, failAfter: { tokens: 3, error } }
      : { neverEnds: true, tokenMs: 10 };
  const answer = await completion(server, { stream: true, n: 3 });
  expect(chunksOf(answer.text, "cut").at(-1).error.code).toBe("backend_failed");
  expect(ended(server)).toEqual(["aborted", "failed", "aborted"]);
});

test("choices are streamed side by side, none waits for another's end", async () => {
  await using server = await startTestServer();
  server.generator.behave = () => ({ neverEnds: true, tokenMs: 3 });
  const answer = await completion(server, { stream: true, n: 3, max_tokens: 20, temperature: 0 });
  const order = chunksOf(answer.text).map((chunk) => chunk.choices[0].index);
  const firstHalf = order.slice(0, order.length / 2);
  expect(new Set(firstHalf)).toEqual(new Set([0, 1, 2]));
});

test("a reader that stops holds the generator back within a bound, and is served on when it reads again", async () => {
  await using server = await startTestServer();
  const text = "x".repeat(10_000);
  server.generator.behave = () => ({ neverEnds: true, text });
  const socket = open(server, { stream: true, max_tokens: 2000 });
  await new Promise<void>((resolve) => socket.once("data", () => resolve()));
  socket.pause();
  const tokens = () => server.generator.calls[0]?.tokens ?? 0;
  let before = -1;
  while (tokens() !== before) {
    before = tokens();
    await sleep(150);
  }
  // What the two kernels buffer is theirs; 20 MB of answer would not fit.
  expect(before).toBeLessThan(1500);
  let tail = "";
  socket.on("data", (data) => {
    tail = (tail + data.toString()).slice(-100);
  });
  socket.resume();
  await vi.waitUntil(() => tail.includes("[DONE]"), { timeout: 10_000 });
  expect(tokens()).toBe(2000);
  socket.destroy();
});

test("a reader that reads nothing at all is cut off, and its work ends", async () => {
  await using server = await startTestServer({ options: { stalledClientTimeoutMs: 200 } });
  server.generator.behave = () => ({ neverEnds: true, text: "x".repeat(10_000) });
  const socket = open(server, { stream: true, max_tokens: 2000 });
  socket.pause();
  await vi.waitUntil(() => ended(server)[0] === "aborted", { timeout: 5000 });
  socket.destroy();
});

test("a client that leaves while it is queued frees its place", async () => {
  await using server = await startTestServer();
  server.generator.behave = () => ({ admissionMs: 60_000 });
  for (const stream of [true, false]) {
    const socket = open(server, { stream });
    await vi.waitUntil(() => ended(server).at(-1) === "running");
    socket.destroy();
    await vi.waitUntil(() => ended(server).at(-1) === "aborted", { timeout: 1000 });
  }
});

test("a silent stream carries comments, and only between whole events", async () => {
  await using server = await startTestServer({ options: { streamKeepAliveMs: 20 } });
  server.generator.behave = () => ({ queueMs: 150 });
  const answer = await completion(server, { stream: true, max_tokens: 3 });
  expect(answer.text.match(/^: keep-alive\n\n/gm)?.length).toBeGreaterThan(2);
  expect(chunksOf(answer.text).length).toBeGreaterThan(1);
});

test("a drain refuses new work, lets running answers end, and closes their connections", async () => {
  await using server = await startTestServer();
  server.generator.behave = () => ({ neverEnds: true, tokenMs: 10 });
  const running = completion(server, { stream: true, max_tokens: 30 });
  await vi.waitUntil(() => (server.generator.calls[0]?.tokens ?? 0) > 2);
  server.readiness = { kind: "draining", reason: "SIGTERM", retryAfterMs: 2500 };
  const refused = await completion(server, { stream: true });
  conforms("ErrorResponse", refused.json);
  expect([refused.status, refused.json.error.code]).toEqual([503, "draining"]);
  expect(refused.headers.get("retry-after-ms")).toBe("2500");
  expect(refused.headers.get("connection")).toBe("close");
  expect((await send(`${server.baseUrl}/health`)).status).toBe(503);
  const startedAt = performance.now();
  const closed = server.app.close();
  expect(chunksOf((await running).text).at(-1).choices[0].finish_reason).toBe("length");
  await closed;
  expect(performance.now() - startedAt).toBeLessThan(2000);
});

test("before it is ready the server says so, and answers about its models all the same", async () => {
  await using server = await startTestServer();
  server.readiness = { kind: "starting", reason: "loading scripted" };
  const health = await send(`${server.baseUrl}/health`);
  conforms("ErrorResponse", health.json);
  expect([health.status, health.json.error.code]).toEqual([503, "not_ready"]);
  expect(health.json.error.message).toContain("loading scripted");
  expect((await completion(server, {})).headers.get("x-should-retry")).toBe("true");
  expect((await send(`${server.baseUrl}/v1/models`)).status).toBe(200);
});
