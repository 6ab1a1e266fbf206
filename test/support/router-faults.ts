/**
 * One run of the router under faults: private and internal requests of many shapes while the classifier, the policy, the
 * house, the disk or the cloud misbehave. Whatever happens, no canary of the run may be among what the recording cloud
 * received, be it that the request stays or that its canary is replaced.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { WeirError } from "../../engine/core/errors.ts";
import { uniform } from "../../engine/core/random.ts";
import { createMetrics } from "../../engine/metering/metrics.ts";
import { closedName } from "../../engine/receipts/chain-files.ts";
import { ReceiptLog } from "../../engine/receipts/receipt-log.ts";
import type { RoutingPorts } from "../../server/routing.ts";
import { spellingsOf } from "./canary.ts";
import type { CloudDouble, DoubleTurn } from "./cloud-double/cloud-double.ts";
import { decisionWith } from "./decisions.ts";
import { INTERNAL_SHAPES, INTERNAL_TEXTS, SHAPES, TEXTS } from "./fault-requests.ts";
import { doubleBackend, type RoutedServer, startRoutedServer } from "./routed-server.ts";

export interface FaultReport {
  readonly seed: number;
  readonly faults: readonly string[];
  /** Canaries at the cloud, in any spelling: none is right. */
  readonly leaked: boolean;
  /** Answers to private requests that came from the cloud or do not say where from. */
  readonly astray: readonly string[];
  /** Public requests that the cloud answered, so that a run without a way out proves nothing by its silence. */
  readonly publicServed: number;
  /** Internal requests that reached the cloud, with placeholders for what must stay. */
  readonly replaced: number;
  /** Requests that the cloud was sent twice because its answer was late. */
  readonly hedged: number;
  /** The breaker let a trial through, and its request was served by the cloud. */
  readonly triedAgain: boolean;
  /** Requests that were refused because they could not be put on record. */
  readonly unrecorded: number;
}

type Chance = (label: number) => number;

interface Fault {
  readonly name: string;
  readonly screening?: RoutingPorts["screening"];
  readonly turns?: readonly DoubleTurn[];
  readonly houseFails?: boolean;
  readonly deadBackend?: boolean;
  /** Written over policy.yaml, and reloaded, while requests run. */
  readonly policy?: string;
  /** What is late is asked twice. */
  readonly hedges?: boolean;
  /** One failure opens the cloud's breaker, and a trial is due when the requests come. */
  readonly opensBreaker?: boolean;
  /** The file of receipts cannot be changed for another when it is full, which it is. */
  readonly diskFails?: boolean;
}

const thread = (name: string): RoutingPorts["screening"] => ({
  inlineCharactersMax: 0,
  timeoutMs: 60,
  memoryMb: 48,
  worker: new URL(`./faulty-threads/${name}.worker.ts`, import.meta.url),
});
const boom = (): never => {
  throw new Error("boom");
};

const FAULTS: readonly Fault[] = [
  { name: "the classifier throws", screening: { classifyInline: boom } },
  { name: "the classifier says nothing", screening: { classifyInline: () => undefined } },
  { name: "the classifier lies", screening: { classifyInline: () => ({ class: "public" }) } },
  { name: "the thread throws", screening: thread("throws") },
  { name: "the thread ends", screening: thread("exits") },
  { name: "the thread spins", screening: thread("spins") },
  { name: "the thread runs out of memory", screening: thread("hoards") },
  { name: "the thread lies", screening: thread("lies") },
  { name: "the thread is late", screening: { inlineCharactersMax: 0, timeoutMs: 1 } },
  { name: "the model file is corrupt", screening: { topicModel: randomBytes(1000) } },
  { name: "the model file is gone", screening: { topicModel: "/nowhere/topic-model.bin" } },
  { name: "the policy becomes no YAML", policy: "classes: [" },
  {
    name: "the policy lets all out",
    policy: "version: 1\nclasses: {restricted: {zone: cloud}, personal: {zone: cloud}}",
  },
  { name: "the policy is emptied", policy: "" },
  { name: "the house is dead", houseFails: true },
  { name: "the house's other server is half open", deadBackend: true },
  {
    name: "the cloud fails",
    turns: [
      { kind: "status", status: 500 },
      { kind: "status", status: 503 },
    ],
  },
  { name: "the cloud is busy", turns: [{ kind: "status", status: 429, headers: { "retry-after-ms": "1" } }] },
  { name: "the cloud is silent", turns: [{ kind: "silence" }] },
  {
    name: "the cloud redirects",
    turns: [{ kind: "status", status: 307, headers: { location: "/v1/chat/completions" } }],
  },
  {
    name: "the cloud breaks off",
    turns: [{ kind: "answer", texts: ["a", "b"], after: { events: 2, fate: "cut" } }],
  },
  { name: "the cloud talks nonsense", turns: [{ kind: "raw", body: "data: {\n\n" }] },
  {
    name: "the cloud lies about usage",
    turns: [{ kind: "answer", texts: ["x"], usage: { prompt_tokens: -1 } }],
  },
  {
    name: "the cloud is late and asked twice",
    hedges: true,
    turns: [{ kind: "silence" }],
  },
  { name: "the cloud is on trial", opensBreaker: true },
  { name: "the disk of the receipts fails", diskFails: true },
];

/** One for all runs: process metrics go on for as long as the process, and hold on to what they were made with. */
const metrics = createMetrics(
  {
    clock: { now: () => performance.now(), wall: () => Date.now() },
    laneStats: () => [],
    ready: () => true,
    backends: () => [],
  },
  { version: "0.0.0" },
);

const pick = <T>(list: readonly T[], share: number): T => list[Math.floor(share * list.length)] as T;

/** A server of the house that takes connections and never answers. */
export async function openDeadEnd(): Promise<{ readonly port: number; close(): void }> {
  const server: Server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() };
}

/** Each fault comes in turn, half of the times with another one. */
export async function faultRun(seed: number, double: CloudDouble, deadPort: number): Promise<FaultReport> {
  const chance: Chance = (label) => uniform(seed, label);
  const first = FAULTS[seed % FAULTS.length] as Fault;
  const faults = [...new Set([first, ...(chance(2) < 0.5 ? [pick(FAULTS, chance(3))] : [])])];
  await double.reset();
  const screening = faults.find((fault) => fault.screening !== undefined)?.screening;
  const home = mkdtempSync(join(tmpdir(), "weir-faults-"));
  try {
    if (has(faults, "diskFails")) await fillReceipts(home);
    await using place = await startRoutedServer({
      home,
      settings: { receipts: { file_bytes_max: RECEIPT_BYTES_MAX } },
      backends: backendsOf(faults, double.port, deadPort),
      ports: { metrics },
      policy: {
        version: 1,
        explicit_cloud: chance(5) < 0.5 ? "refuse" : "reroute",
        classes: { public: { zone: "cloud" }, internal: { zone: "cloud", pseudonymise: true } },
      },
      routing: {
        // One answer tells what is late.
        hedgeSamples: { samplesMin: 1, samplesMax: 10 },
        ...(screening === undefined ? {} : { screening }),
        ...(has(faults, "houseFails") ? { local: DEAD_HOUSE } : {}),
      },
    });
    await prepare(place, faults, double);
    return { seed, faults: faults.map(({ name }) => name), ...(await askAll(place, faults, double, chance)) };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

const has = (faults: readonly Fault[], key: keyof Fault): boolean =>
  faults.some((fault) => fault[key] === true);

const DEAD_HOUSE: RoutingPorts["local"] = {
  autoModel: () => "small",
  isInstalled: (name) => name === "small",
  isUp: () => true,
  generator: {
    name: "local",
    zone: "onprem",
    // biome-ignore lint/correctness/useYield: it fails before it says anything
    async *generate() {
      throw new WeirError("backend_failed", "the house is dead");
    },
  },
};

function backendsOf(faults: readonly Fault[], port: number, deadPort: number): Record<string, object> {
  // One failure opens its breaker, so that what comes next meets one that is shut or on trial.
  const dead = { zone: "onprem", models: ["big"], headers_timeout_ms: 60, attempts_max: 1 };
  const shut = { breaker_failures_max: 1, breaker_open_ms: BREAKER_OPEN_MS };
  return {
    ...(has(faults, "deadBackend") ? { vllm: doubleBackend(deadPort, { ...dead, ...shut }) } : {}),
    double: doubleBackend(port, {
      // Long enough for a second request to be the one that is answered.
      headers_timeout_ms: has(faults, "hedges") ? 1500 : 80,
      idle_timeout_ms: 80,
      hedge: has(faults, "hedges"),
      ...(has(faults, "opensBreaker") ? { ...shut, attempts_max: 1 } : {}),
    }),
  };
}

const BREAKER_OPEN_MS = 10;
/** The least that the configuration allows. */
const RECEIPT_BYTES_MAX = 65_536;

/** Receipts up to the file's size, and something in the way of the name that it is to have when it is full. */
async function fillReceipts(home: string): Promise<void> {
  const folder = join(home, "receipts");
  const log = new ReceiptLog({
    folder,
    fileBytesMax: 2 * RECEIPT_BYTES_MAX,
    now: () => "2026-11-23T00:00:00.000Z",
  });
  let last = log.append(decisionWith({}));
  while (statSync(join(folder, "receipts.jsonl")).size < RECEIPT_BYTES_MAX)
    last = log.append(decisionWith({}));
  await log.close();
  mkdirSync(join(folder, closedName(last.seq + 1)));
}

const PUBLIC_QUESTION = { messages: [{ role: "user", content: "What is the capital of Norway?" }] };

/** Whatever has to have happened before: an answer in time, a breaker that opened and may be tried. */
async function prepare(place: RoutedServer, faults: readonly Fault[], double: CloudDouble): Promise<void> {
  if (has(faults, "hedges")) await sent(place, "/v1/chat/completions", PUBLIC_QUESTION, 1);
  if (!has(faults, "opensBreaker")) return;
  await double.script({ kind: "status", status: 500 });
  await sent(place, "/v1/chat/completions", PUBLIC_QUESTION, 1);
  await sleep(BREAKER_OPEN_MS);
}

interface Asked {
  readonly canary: string;
  readonly internal: boolean;
  readonly answer: Promise<Sent>;
}

async function askAll(
  place: RoutedServer,
  faults: readonly Fault[],
  double: CloudDouble,
  chance: Chance,
): Promise<Omit<FaultReport, "seed" | "faults">> {
  const before = (await double.record()).requests.length;
  const turns = faults.flatMap((fault) => fault.turns ?? []);
  if (turns.length > 0) await double.script(...turns);
  const asked: Asked[] = [];
  for (let index = 0; index < 5; index += 1) {
    asked.push(askOne(place, chance, 10 + index * 10));
    if (index === 1) breakPolicy(place, faults);
  }
  const [last, ...answers] = await Promise.all([
    sent(place, "/v1/chat/completions", PUBLIC_QUESTION, 1),
    ...asked.map(({ answer }) => answer),
  ]);
  const { requests } = await double.record();
  const record = JSON.stringify(requests);
  const bodies = requests.slice(before).map(({ body }) => body);
  return {
    leaked: asked.some(({ canary }) => spellingsOf(canary).some((spelling) => record.includes(spelling))),
    astray: answers.flatMap((answer, index) =>
      isRight(answer, asked[index]?.internal === true, has(faults, "diskFails"))
        ? []
        : [`${answer.status} ${answer.zone}`],
    ),
    publicServed: last.zone === "cloud" && last.status === 200 ? 1 : 0,
    replaced: bodies.filter((body) => /\[INBOX-[A-Z]+\]/.test(body)).length,
    hedged: has(faults, "hedges") && faults.length === 1 ? bodies.length - new Set(bodies).size : 0,
    triedAgain: has(faults, "opensBreaker") && before === 1 && bodies.length > 0,
    unrecorded: has(faults, "diskFails") ? answers.filter(({ zone }) => zone === null).length : 0,
  };
}

/** Private: here, or gone before it was told. Internal: also in the cloud. Without a record nothing is served at all. */
function isRight({ status, zone }: Sent, internal: boolean, unrecorded: boolean): boolean {
  if (status === 0 || zone === "onprem") return true;
  if (zone === "cloud") return internal;
  return unrecorded && status >= 500;
}

function askOne(place: RoutedServer, chance: Chance, at: number): Asked {
  // Letters alone: a canary must not be what a rule finds.
  const canary = `Zq${[...`${chance(at)}`.slice(2, 12)].map((digit) => "abcdefghij"[Number(digit)]).join("")}`;
  const internal = chance(at + 7) < 0.3;
  const text = pick(internal ? INTERNAL_TEXTS : TEXTS, chance(at + 2))(canary);
  const { path, body } = pick(internal ? INTERNAL_SHAPES : SHAPES, chance(at + 1))(text);
  const model = pick([undefined, "auto", "double/large", "small"], chance(at + 3));
  const choices = chance(at + 6) < 0.3 ? { n: 2 } : {};
  const whole = {
    ...body,
    ...choices,
    ...(model === undefined ? {} : { model }),
    stream: chance(at + 4) < 0.5,
  };
  return { canary, internal, answer: sent(place, path, whole, chance(at + 5)) };
}

function breakPolicy(place: RoutedServer, faults: readonly Fault[]): void {
  for (const { policy } of faults) {
    if (policy === undefined) continue;
    writeFileSync(join(place.home, "policy.yaml"), policy);
    place.opened.reload();
  }
}

interface Sent {
  /** 0 where the client left. */
  readonly status: number;
  readonly zone: string | null;
}

/** Some clients leave in the middle. */
async function sent(place: RoutedServer, path: string, body: object, share: number): Promise<Sent> {
  const leaving = share < 0.1 ? AbortSignal.timeout(Math.ceil(share * 100)) : AbortSignal.timeout(20_000);
  try {
    const answer = await fetch(`${place.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: leaving,
    });
    await answer.arrayBuffer();
    return { status: answer.status, zone: answer.headers.get("x-weir-zone") };
  } catch (error) {
    if (share < 0.1 || (error as Error).message === "terminated") return { status: 0, zone: null };
    throw error;
  }
}
