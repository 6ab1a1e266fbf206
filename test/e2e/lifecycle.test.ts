/** How a running weir starts, refuses to, crashes, comes back and ends: real processes, real signals. */
import { existsSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { makeRandomModel } from "../../scripts/make-random-model.ts";
import { hashKey } from "../../server/keys/keys-file.ts";
import { chunksOf, send } from "../support/http-client.ts";
import {
  installTiny,
  runWeir,
  Served,
  type ServeSetup,
  serve,
  temporaryHome,
  until,
} from "../support/served.ts";

const BACK_MS_MAX = 3_000;
/** From a command's end until its key lets in, or no more. */
const COUNTS_WITHIN_MS = 2_000;

const home = temporaryHome();
const tiny = (more: Partial<ServeSetup> = {}): ServeSetup => ({
  home,
  ...more,
  settings: ["models.resident=false", "models.default=tiny", ...(more.settings ?? [])],
});
beforeAll(async () => {
  await installTiny(home, "tiny", { layers: 16 });
});

/** An answer of so many tokens that nothing ends early: some seconds of work. */
const LONG = {
  ...{ model: "tiny", prompt: "On and on", max_tokens: 2_000, stream: true },
  ...{ temperature: 0, ignore_eos: true, return_token_ids: true },
};

/** The answer as soon as its head is there; reading it is up to the caller. */
function post(url: string, body: unknown): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
    });
    sent.once("response", resolve).once("error", reject).end(JSON.stringify(body));
  });
}

async function readText(answer: IncomingMessage): Promise<string> {
  let text = "";
  for await (const part of answer.setEncoding("utf8")) text += part;
  return text;
}

const tokensIn = (text: string, ending: "done" | "cut" = "done"): number =>
  chunksOf(text, ending).flatMap((chunk) => chunk.choices?.[0]?.token_ids ?? []).length;

describe("a crash in native code", () => {
  test("is followed by a new process on the same port within 3 s, which says why", async () => {
    await using served = await serve(tiny());
    const { url } = served;
    const answer = await post(url, LONG);
    const cut = readText(answer).then(
      (text) => text,
      () => "cut",
    );
    await until(async () => (await served.metric("vllm:num_requests_running")) === 1);
    const first = served.enginePid;

    process.kill(first, "SIGSEGV");
    const killedAt = performance.now();
    await served.ready(2);
    const wallMs = performance.now() - killedAt;
    const cpuMs = served.cpuMs ?? Number.POSITIVE_INFINITY;
    console.warn(`back after ${Math.round(wallMs)} ms, of the processor's time ${cpuMs} ms`);
    // As with the time from start to ready: on a busy machine the processor's time is what counts.
    expect(Math.min(wallMs, cpuMs)).toBeLessThan(BACK_MS_MAX);
    expect(served.enginePid).not.toBe(first);
    expect(served.output).toMatch(
      /weir: the engine process died from SIGSEGV after \d+\.\d s; restarting, attempt 1/,
    );
    expect((await cut).includes("[DONE]")).toBe(false);
    expect(served.url).toBe(url);
    const again = await send(`${url}/v1/completions`, { model: "tiny", prompt: "a", max_tokens: 2 });
    expect(again.status).toBe(200);
    expect(await served.stop()).toBe(0);
  });
});

describe("SIGTERM", () => {
  test("lets running answers finish, refuses new work, and ends with 0", async () => {
    const served = await serve(tiny());
    const answer = await post(served.url, { ...LONG, max_tokens: 600 });
    const read = readText(answer);
    await until(async () => (await served.metric("vllm:num_requests_running")) === 1);
    served.process.kill("SIGTERM");
    await until(async () => (await send(`${served.url}/health`)).status === 503);
    const refused = await send(`${served.url}/v1/completions`, { ...LONG, stream: false });
    expect(refused).toMatchObject({ status: 503, json: { error: { code: "draining" } } });
    expect(refused.headers.get("connection")).toBe("close");
    expect(Number(refused.headers.get("retry-after-ms"))).toBeGreaterThan(0);
    expect(tokensIn(await read)).toBe(600);
    expect(await served.ended).toBe(0);
  });

  test("waits for a reader that is slower than the engine", async () => {
    const served = await serve(tiny());
    // With its log-probabilities the answer is larger than the buffers of both sockets together.
    const answer = await post(served.url, { ...LONG, max_tokens: 800, logprobs: 5 });
    answer.pause();
    await until(async () => (await served.metric("vllm:num_requests_running")) === 1);
    served.process.kill("SIGTERM");
    await until(async () => (await served.metric("vllm:num_requests_running")) === 0, 60_000);
    await sleep(1_500);
    expect(tokensIn(await readText(answer))).toBe(800);
    expect(await served.ended).toBe(0);
  });

  test("cuts what is not done after drain_ms, and says so in the stream", async () => {
    const served = await serve(tiny({ settings: ["server.drain_ms=100"] }));
    const answer = await post(served.url, LONG);
    const read = readText(answer);
    await until(async () => (await served.metric("vllm:num_requests_running")) === 1);
    served.process.kill("SIGTERM");
    const text = await read;
    expect(chunksOf(text, "cut").at(-1)?.error).toMatchObject({ code: "draining" });
    expect(tokensIn(text, "cut")).toBeLessThan(LONG.max_tokens);
    expect(await served.ended).toBe(0);
  });
});

describe("who may ask", () => {
  test("bound to all addresses without keys it refuses to start, says how, and ends with 2", async () => {
    const served = new Served(tiny({ env: { HOST: "0.0.0.0" } }));
    expect(await served.ended).toBe(2);
    expect(served.output).toMatch(/0\.0\.0\.0, which other machines may reach, but there are no API keys/);
    expect(served.output).toMatch(/Make one with `npm run --silent weir -- keys create --name NAME`/);
    expect(served.output).not.toContain("listening");
  });

  test("with a keys file it answers those who hold one of its keys, and nobody else", async () => {
    const key = "weir-test-0123456789abcdef";
    const file = join(home, "keys.txt");
    writeFileSync(file, `# one hash a line\n${await hashKey(key, "tester")}\n`);
    await using served = await serve(tiny({ env: { WEIR_API_KEYS_FILE: file } }));
    const ask = (headers: Record<string, string>) =>
      send(`${served.url}/v1/completions`, { model: "tiny", prompt: "a", max_tokens: 1 }, { headers });
    expect(await ask({})).toMatchObject({ status: 401, json: { error: { code: "invalid_api_key" } } });
    expect(await ask({ authorization: "Bearer weir-wrong-0123456789" })).toMatchObject({ status: 401 });
    expect(await ask({ authorization: `Bearer ${key}` })).toMatchObject({ status: 200 });
    expect((await send(`${served.url}/v1/models`)).status).toBe(401);
    expect((await send(`${served.url}/health`)).status).toBe(200);
    expect(served.output).not.toContain(key);
  });
});

describe("keys of the store", () => {
  test("a server that has some asks for them and follows the commands while it runs", async () => {
    const [first, second] = [await runWeir(home, "keys", "create", "--name", "first"), "second"];
    const keyIn = (output: string): string => /^weir-\S+$/m.exec(output)?.[0] ?? "";
    await using served = await serve(tiny());
    const statusOf = async (key: string) =>
      (await send(`${served.url}/v1/models`, undefined, { headers: { authorization: `Bearer ${key}` } }))
        .status;
    expect(served.output).toContain('-H "authorization: Bearer $WEIR_API_KEY"');
    expect([await statusOf(keyIn(first.output)), await statusOf("weir-none")]).toEqual([200, 401]);
    const made = keyIn((await runWeir(home, "keys", "create", "--name", second)).output);
    await until(async () => (await statusOf(made)) === 200, COUNTS_WITHIN_MS);
    for (const name of ["first", second]) expect((await runWeir(home, "keys", "revoke", name)).code).toBe(0);
    await until(async () => (await statusOf(made)) === 401, COUNTS_WITHIN_MS);
    expect(await statusOf(keyIn(first.output))).toBe(401);
    rmSync(join(home, "keys.json"));
  });
});

test("a port that is taken is named, and nothing is tried again", async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as { port: number };
  const served = new Served(tiny({ port }));
  expect(await served.ended).toBe(1);
  other.close();
  expect(served.output).toMatch(new RegExp(`weir: Port ${port} on 127\\.0\\.0\\.1 is in use`));
});

test("a damaged file is refused by name, field and number, and leaves nothing behind", async () => {
  const empty = temporaryHome();
  const path = join(empty, "damaged.gguf");
  makeRandomModel({ shape: "tiny-llama", type: "Q8_0", layers: 2, vocab: 512, out: path });
  truncateSync(path, 300_000);
  const { code, output } = await runWeir(empty, "models", "import", path, "--name", "damaged");
  expect(code).toBe(1);
  expect(output).toMatch(/damaged\.gguf: \S+: its data would end at byte \d+, the file ends at byte 300000/);
  const models = join(empty, "models");
  expect(existsSync(models) ? readdirSync(models) : []).toEqual([]);
});
