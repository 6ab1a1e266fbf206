/**
 * weir as its users run it, told to say all that it can, under private requests of every shape, a crash and a drain: no word
 * of them may stand in anything that it wrote, nor have reached the cloud that it may use.
 */
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { CanaryFound, spellingsOf } from "../support/canary.ts";
import { type CloudDouble, type DoubleTurn, startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import { type Answer, send } from "../support/http-client.ts";
import {
  CHAT,
  COMPLETIONS,
  PAY,
  privateRequests,
  privateText,
  publicQuestion,
  RESIDENT_ID,
  says,
} from "../support/private-requests.ts";
import { installTiny, runWeir, type Served, serve, temporaryHome, until } from "../support/served.ts";

const BODY_BYTES_MAX = 1_048_576;
const HOST = "10.20.30.40";
const WORDS = ["CANARY", RESIDENT_ID, PAY, HOST];

const home = temporaryHome();
const temp = join(home, "tmp");
let double: CloudDouble;
let key: string;
let served: Served;

beforeAll(async () => {
  mkdirSync(temp);
  double = await startCloudDouble();
  await installTiny(home, "tiny", { layers: 16 });
  const made = await runWeir(home, "keys", "create", "--name", "tester", "--scopes", "inference,metrics");
  key = /^weir-\S+$/m.exec(made.output)?.[0] ?? "";
  const url = `http://127.0.0.1:${double.port}/v1`;
  const cloud = {
    ...{ zone: "cloud", kind: "openai", url, models: { large: "large-1" }, plaintext: true },
    ...{ ranges: ["127.0.0.0/8"], attempts_max: 1, breaker_failures_max: 1000 },
  };
  writeFileSync(join(home, "weir.yaml"), stringify({ backends: { double: cloud } }));
  const classes = { public: { zone: "cloud" }, internal: { zone: "cloud", pseudonymise: true } };
  writeFileSync(join(home, "policy.yaml"), stringify({ version: 1, classes }));
  served = await serve({
    home,
    settings: ["models.resident=false", "models.default=tiny", `server.body_limit_bytes=${BODY_BYTES_MAX}`],
    env: {
      ...{ WEIR_LOG_LEVEL: "trace", WEIR_DEBUG: "1", TMPDIR: temp },
      ...{ WEIR_CONFIG: join(home, "weir.yaml"), WEIR_POLICY_FILE: join(home, "policy.yaml") },
    },
    // So that a crash leaves a dump, where the system makes any.
    under: ["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh"],
  });
});
afterAll(() => double.close());

const privateOnes = privateRequests({ bodyBytesMax: BODY_BYTES_MAX, inlineBytesMax: 16_384 });

interface Asked {
  readonly path?: string;
  readonly method?: string | undefined;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

const ask = ({ path = CHAT, method, body, headers = {} }: Asked): Promise<Answer> =>
  send(`${served.url}${path}`, body, {
    ...(method === undefined ? {} : { method }),
    headers: { authorization: `Bearer ${key}`, ...headers },
  });

async function askPrivately(): Promise<void> {
  for (const each of privateOnes) {
    const { status, headers } = await ask(each);
    const zone = headers.get("x-weir-zone");
    expect([each.name, status, zone === "cloud"]).toEqual([each.name, each.status, false]);
  }
}

/** Public, or internal and pseudonymised: what lies around the text stays, and so does what the cloud says of it. */
async function askTheCloud(): Promise<void> {
  const headers = Object.fromEntries(
    ["user-agent", "referer", "cookie", "x-forwarded-for", "x-note"].map((name) => [name, "CANARYHeader"]),
  );
  const open = await ask({ path: `${CHAT}?note=CANARYQuery`, body: says(publicQuestion("Kehl")), headers });
  expect([open.status, open.headers.get("x-weir-zone")]).toEqual([200, "cloud"]);

  const internal = says(`Which service runs on ${HOST}, the one of support@canary-works.example?`);
  const hidden = await ask({ body: internal });
  expect([hidden.headers.get("x-weir-class"), hidden.headers.get("x-weir-zone")]).toEqual([
    "internal",
    "cloud",
  ]);

  await double.script(...UPSTREAM);
  for (const [index, { kind }] of UPSTREAM.entries()) {
    const body = { ...says(publicQuestion("Kehl")), stream: kind === "answer", seed: index };
    expect((await ask({ body })).headers.get("x-weir-zone")).toBe("cloud");
  }
}

const CLOUD_ERROR = { error: { message: "CANARYUpstream", type: "CANARYUpstream", code: "CANARYUpstream" } };
/** What a cloud may say: it knows the request, so its words count as the client's. */
const UPSTREAM: readonly DoubleTurn[] = [
  { kind: "status", status: 500, body: "CANARYUpstream", headers: { "x-request-id": "CANARYUpstream" } },
  { kind: "status", status: 400, body: JSON.stringify(CLOUD_ERROR) },
  { kind: "status", status: 307, headers: { location: "http://canary.example/CANARYUpstream" } },
  { kind: "raw", body: "data: {CANARYUpstream\n\n" },
  { kind: "answer", texts: ["CANARYAnswer ", "CANARYAnswer"], after: { events: 2, fate: "error" } },
  { kind: "answer", texts: ["CANARYAnswer"], finish: "CANARYFinish" },
];

/** What is no request at all. */
async function sendRubbish(): Promise<void> {
  const { hostname, port } = new URL(served.url);
  for (const text of [
    "CANARYLine CANARYLine CANARYLine\r\n\r\n",
    `GET / HTTP/1.1\r\nCANARYHeader CANARYHeader\r\n\r\n`,
    `GET / HTTP/1.1\r\nhost: x\r\nx-note: ${"CANARYLong".repeat(3000)}\r\n\r\n`,
    `POST ${CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\n` +
      `content-length: 5\r\nconnection: close\r\n\r\n{"CANARYCut": "CANARYCut"}`,
  ]) {
    const socket = connect(Number(port), hostname);
    socket.on("error", () => undefined);
    socket.end(text);
    socket.resume();
    await once(socket, "close");
  }
}

/** A private stream of so many tokens, once its first bytes are there. */
async function beginStream(name: string, tokens: number): Promise<IncomingMessage> {
  const body = {
    ...{ model: "tiny", prompt: privateText(name), max_tokens: tokens, stream: true },
    ...{ temperature: 0, ignore_eos: true },
  };
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
    request(`${served.url}${COMPLETIONS}`, { method: "POST", headers })
      .once("response", resolve)
      .once("error", reject)
      .end(JSON.stringify(body));
  });
  expect(answer.statusCode).toBe(200);
  answer.on("error", () => undefined);
  await once(answer, "readable");
  return answer;
}

async function restOf(answer: IncomingMessage): Promise<string> {
  let text = "";
  for await (const part of answer.setEncoding("utf8")) text += part;
  return text;
}

const metrics = async (): Promise<string> => (await ask({ path: "/metrics" })).text;

/** What a dump of the process would hold: no memory. Undefined where the system does not say. */
function dumpFilterOf(pid: number | undefined): number | undefined {
  const file = `/proc/${pid}/coredump_filter`;
  return existsSync(file) ? Number.parseInt(readFileSync(file, "utf8"), 16) : undefined;
}

function scan(what: string, bytes: Buffer): void {
  for (const word of WORDS.flatMap(spellingsOf)) {
    const at = bytes.indexOf(word, 0, "latin1");
    if (at >= 0)
      throw new CanaryFound(
        `${what} holds ${word}: ${bytes.toString("latin1", Math.max(0, at - 200), at + 100)}`,
      );
  }
}

test("no word of a private request is written anywhere or leaves, whatever happens to it", async () => {
  await askPrivately();
  await askTheCloud();
  await sendRubbish();
  (await beginStream("Leaver", 2000)).destroy();

  served.process.kill("SIGHUP");
  await until(() => served.output.includes("the policy was read again"));
  const scrapes = [await metrics()];

  for (const pid of [served.process.pid, served.enginePid]) expect(dumpFilterOf(pid) ?? 0).toBe(0);
  const cut = await beginStream("Crash", 2000);
  process.kill(served.enginePid, "SIGSEGV");
  await served.ready(2);
  await restOf(cut).catch(() => undefined);
  await askPrivately();
  scrapes.push(await metrics());

  const last = restOf(await beginStream("Drain", 300));
  served.process.kill("SIGTERM");
  await until(async () => (await send(`${served.url}/health`)).status === 503);
  expect((await ask({ body: says(privateText("Late")) })).status).toBe(503);
  expect(await last).toContain("[DONE]");
  expect(await served.ended).toBe(0);

  // It did speak and write, at the level that it was asked for.
  expect(served.output.split('"answered"').length).toBeGreaterThan(2 * privateOnes.length);
  expect(served.output).toContain('"level":20');
  const files = readdirSync(home, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  expect(files.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["receipts.jsonl", "restricted.pins"]),
  );

  scan("what it said", Buffer.from(served.output));
  for (const text of scrapes) scan("/metrics", Buffer.from(text));
  for (const { parentPath, name } of files) {
    const path = join(parentPath, name);
    scan(path, readFileSync(path));
  }
  const { requests } = await double.record();
  scan("the cloud", Buffer.from(JSON.stringify(requests)));
  expect(requests).toHaveLength(2 + UPSTREAM.length);
});
