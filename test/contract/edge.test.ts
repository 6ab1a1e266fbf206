/** The edge itself: keys, ids, limits, broken HTTP, and what may appear in a log. */
import { connect } from "node:net";
import { expect, test } from "vitest";
import { newKey } from "../../server/keys/hash.ts";
import { hashKey, parseKeysFile } from "../../server/keys/keys-file.ts";
import { KeyTable } from "../../server/keys/verifier.ts";
import { send } from "../support/http-client.ts";
import { conforms } from "../support/openai-schema.ts";
import { startTestServer, type TestServer } from "../support/test-server.ts";

const MODEL = "scripted";
const ask = (server: TestServer, headers: Record<string, string> = {}, body: object = {}) =>
  send(
    `${server.baseUrl}/v1/completions`,
    { model: MODEL, prompt: "a", max_tokens: 2, ...body },
    { headers },
  );

/** Bytes in, bytes out. */
function raw(server: TestServer, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(Number(new URL(server.baseUrl).port), "127.0.0.1", () => socket.write(bytes));
    socket.on("data", (data) => {
      answer += data.toString();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(answer));
  });
}

test("with keys, everything but /health and the way to the docs needs one, and no answer or log ever shows a key", async () => {
  const key = newKey();
  const verifier = new KeyTable(parseKeysFile(`# clients\n${await hashKey(key, "ada")}\n`));
  await using server = await startTestServer({ ports: { access: { kind: "keys", verifier } } });
  const authorization = `Bearer ${key}`;
  expect((await ask(server, { authorization })).status).toBe(200);
  expect((await send(`${server.baseUrl}/health`)).status).toBe(200);
  for (const path of ["/v1/models", "/metrics", "/docs", "/docs/json", "/tokenize", "/nothing"]) {
    expect((await send(server.baseUrl + path)).status, path).toBe(401);
  }
  for (const wrong of [
    undefined,
    "Bearer wrong-key",
    "Basic YTpi",
    "Bearer ",
    `Bearer ${key}x`,
    `Bearer ${"k".repeat(9000)}`,
  ]) {
    const answer = await ask(server, wrong === undefined ? {} : { authorization: wrong });
    conforms("ErrorResponse", answer.json);
    expect([answer.status, answer.json.error.code]).toEqual([401, "invalid_api_key"]);
    expect(answer.text).not.toContain("wrong-key");
  }
  const log = server.log.join("");
  expect(log).toContain('"key":"ada"');
  expect(log).not.toContain(key);
  expect(log).not.toContain("wrong-key");
});

test("without keys no line of the log names one, whatever the client sends", async () => {
  await using server = await startTestServer();
  for (const headers of [{}, { authorization: "Bearer none" }])
    expect((await ask(server, headers)).status).toBe(200);
  const answered = server.log.filter((line) => line.includes('"answered"'));
  expect(answered).toHaveLength(2);
  expect(answered.join("")).not.toContain('"key"');
});

test("without keys, a name that a web page could have made is refused", async () => {
  await using server = await startTestServer();
  const ask = async (host: string) =>
    (await raw(server, `GET /v1/models HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`)).slice(9, 12);
  for (const host of [
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "a b",
  ]) {
    expect(await ask(host), host).toBe("403");
  }
  for (const host of [
    "localhost:8080",
    "127.0.0.1:1",
    "[::1]:8080",
    "192.168.1.7",
    "weir",
    "weir.localhost",
    "",
  ]) {
    expect(await ask(host), host).toBe("200");
  }
});

test("prompts and answers stay out of the log", async () => {
  await using server = await startTestServer();
  server.generator.behave = () => ({ text: "ANSWERWORD" });
  await ask(server, {}, { prompt: "PROMPTWORD" });
  await ask(server, {}, { prompt: "PROMPTWORD", max_tokens: "PROMPTWORD" });
  await send(`${server.baseUrl}/v1/models/PROMPTWORD?q=PROMPTWORD`);
  const log = server.log.join("");
  expect(log).toContain('"status":200');
  expect(log).not.toMatch(/PROMPTWORD|ANSWERWORD/);
});

test("an answer carries the request's own id if it is decent, else a new one", async () => {
  await using server = await startTestServer();
  const idFor = async (id: string) => (await ask(server, { "x-request-id": id })).headers.get("x-request-id");
  expect(await idFor("trace-1/ä".replace("ä", "a"))).toBe("trace-1/a");
  expect(await idFor("x".repeat(128))).toBe("x".repeat(128));
  expect(await idFor("x".repeat(129))).toMatch(/^req-/);
  expect(await idFor("two words")).toMatch(/^req-/);
  const whole = await ask(server, { "x-request-id": 'quote"d' });
  expect(whole.json.id).toBe('cmpl-quote"d');
  const streamed = await ask(server, { "x-request-id": 'quote"d' }, { stream: true });
  expect(streamed.text.startsWith('data: {"id":"cmpl-quote\\"d"')).toBe(true);
});

test("a body over the limit is 413, announced or not", async () => {
  await using server = await startTestServer({ options: { bodyBytesMax: 1000 } });
  const announced = await ask(server, {}, { prompt: "x".repeat(1000) });
  conforms("ErrorResponse", announced.json);
  expect([announced.status, announced.json.error.code]).toEqual([413, "body_too_large"]);
  const body = new ReadableStream({
    pull(controller) {
      controller.enqueue(new TextEncoder().encode("x".repeat(600)));
    },
  });
  const init = { method: "POST", body, duplex: "half", headers: { "content-type": "application/json" } };
  const unannounced = await fetch(`${server.baseUrl}/v1/completions`, init as RequestInit);
  expect(unannounced.status).toBe(413);
});

test("a body of another type is 415 and says what to send", async () => {
  await using server = await startTestServer();
  const answer = await ask(server, { "content-type": "application/x-www-form-urlencoded" });
  conforms("ErrorResponse", answer.json);
  expect([answer.status, answer.json.error.code]).toEqual([415, "unsupported_media_type"]);
  expect(answer.json.error.message).toContain("content-type: application/json");
});

test("a wrong method says which ones there are", async () => {
  await using server = await startTestServer();
  const answer = await send(`${server.baseUrl}/v1/completions`, undefined, { method: "DELETE" });
  expect([answer.status, answer.headers.get("allow")]).toEqual([405, "POST"]);
  expect((await send(`${server.baseUrl}/health`, undefined, { method: "HEAD" })).status).toBe(200);
});

test("tools that the model's template takes no notice of are named in the warning, streamed or not", async () => {
  await using server = await startTestServer();
  const [card] = server.generator.list();
  const tools = [{ type: "function", function: { name: "f" } }];
  const body = { model: card?.name, messages: [{ role: "user", content: "a" }], max_tokens: 1 };
  const warning = async (more: object) => {
    const answer = await send(`${server.baseUrl}/v1/chat/completions`, { ...body, ...more });
    expect(answer.status).toBe(200);
    return answer.headers.get("warning");
  };
  for (const stream of [false, true]) {
    expect(await warning({ stream })).toBeNull();
    expect(await warning({ stream, tools, tool_choice: "none" })).toBeNull();
    expect(await warning({ stream, tools })).toBe('299 weir "ignored parameters: tools"');
    expect(await warning({ stream, tools, tool_choice: "auto", mirostat: 2, seed: null })).toBe(
      '299 weir "ignored parameters: tools, tool_choice, mirostat"',
    );
  }
});

test("a browser that opens the server's address is led to the docs, also where keys are needed", async () => {
  const verifier = new KeyTable(parseKeysFile(`${await hashKey(newKey(), "ada")}\n`));
  for (const ports of [{}, { access: { kind: "keys", verifier } as const }]) {
    await using server = await startTestServer({ ports });
    const answer = await fetch(`${server.baseUrl}/`, { redirect: "manual" });
    expect([answer.status, answer.headers.get("location")]).toEqual([302, "/docs"]);
    const icon = await fetch(`${server.baseUrl}/favicon.ico`);
    expect([icon.status, await icon.text()]).toEqual([204, ""]);
    const logged = server.log.filter((line) => line.includes("favicon"));
    expect(logged.map((line) => JSON.parse(line).level)).toEqual([20]);
  }
});

test("what is no HTTP, too much HTTP or too slow HTTP gets an error in OpenAI's form", async () => {
  await using server = await startTestServer({ options: { headersTimeoutMs: 300, headerBytesMax: 4096 } });
  const cases = [
    ["NONSENSE\r\n\r\n", 400],
    [`GET / HTTP/1.1\r\nhost: x\r\nx-long: ${"x".repeat(5000)}\r\n\r\n`, 431],
    ["GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nhost: x\r\n", 408],
  ] as const;
  for (const [bytes, status] of cases) {
    const answer = await raw(server, bytes);
    expect(answer, bytes.slice(0, 20)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer.toLowerCase()).toContain("\r\nx-request-id: req-");
    conforms("ErrorResponse", JSON.parse(answer.slice(answer.indexOf("\r\n\r\n"))));
  }
});

test("a long stream outlives the time-outs for receiving", async () => {
  await using server = await startTestServer({
    options: {
      headersTimeoutMs: 200,
      receiveTimeoutMs: 200,
      keepAliveTimeoutMs: 200,
      stalledClientTimeoutMs: 200,
    },
  });
  server.generator.behave = () => ({ neverEnds: true, tokenMs: 300 });
  const answer = await ask(server, {}, { stream: true, max_tokens: 4 });
  expect(answer.text.endsWith("data: [DONE]\n\n")).toBe(true);
});

test("a body of absurd depth or width is refused quickly", async () => {
  await using server = await startTestServer();
  const deep = `{"model":"m","prompt":"a","x":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
  const wide = { messages: Array(200_000).fill(0) };
  const startedAt = performance.now();
  for (const [path, body] of [
    ["/v1/completions", deep],
    ["/v1/chat/completions", wide],
    ["/v1/completions", { model: MODEL, prompt: Array(200_000).fill("1") }],
    ["/v1/completions", { model: MODEL, prompt: [1, ...Array(150_000).fill(null)] }],
  ] as const) {
    const answer = await send(server.baseUrl + path, body);
    conforms("ErrorResponse", answer.json);
    expect(answer.status).toBe(400);
  }
  expect(performance.now() - startedAt).toBeLessThan(2000);
});

test("the metrics count answers, failures, tokens and clients that left", async () => {
  await using server = await startTestServer();
  await ask(server, {}, { max_tokens: 5, ignore_eos: true, temperature: 0 });
  await ask(server, {}, { max_tokens: -1 });
  await send(`${server.baseUrl}/v1/models/${"x".repeat(50)}`);
  const { text, headers } = await send(`${server.baseUrl}/metrics`);
  expect(headers.get("content-type")).toMatch(/^text\/plain; version=0.0.4/);
  const value = (line: string) =>
    Number(
      text
        .split("\n")
        .find((each) => each.startsWith(`${line} `))
        ?.split(" ")
        .at(-1),
    );
  expect(value('weir_http_requests_total{route="/v1/completions",method="POST",status="200"}')).toBe(1);
  expect(value('weir_http_requests_total{route="/v1/completions",method="POST",status="400"}')).toBe(1);
  expect(value('weir_errors_total{code="invalid_request"}')).toBe(1);
  expect(value('vllm:generation_tokens_total{model_name="scripted"}')).toBe(5);
  expect(value('vllm:prompt_tokens_total{model_name="scripted"}')).toBe(1);
  expect(value('vllm:request_success_total{model_name="scripted",finished_reason="length"}')).toBe(1);
  expect(value('vllm:time_to_first_token_seconds_count{model_name="scripted"}')).toBe(1);
  expect(value('vllm:inter_token_latency_seconds_count{model_name="scripted"}')).toBe(4);
  expect(value('vllm:kv_cache_usage_perc{model_name="scripted"}')).toBe(0.25);
  expect(value("weir_ready")).toBe(1);
  expect(text).toContain("process_resident_memory_bytes");
  expect(text).not.toContain("xxxx");
});

test("the page of the docs asks no other host for anything", async () => {
  await using server = await startTestServer();
  const page = await send(`${server.baseUrl}/docs`);
  expect(page.headers.get("content-security-policy")).toContain("default-src 'self'");
  const sources = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source]) => source as string);
  expect(sources.length).toBeGreaterThan(3);
  for (const source of sources) {
    expect(source).toMatch(/^\//);
    expect((await send(server.baseUrl + source)).status, source).toBe(200);
  }
});
