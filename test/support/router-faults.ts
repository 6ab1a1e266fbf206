/**
 * One run of the router under faults: private requests of many shapes while the classifier, the policy, the house or the
 * cloud misbehave. Whatever happens, the canary of the run must not be among what the recording cloud received.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { WeirError } from "../../engine/core/errors.ts";
import { uniform } from "../../engine/core/random.ts";
import { createMetrics } from "../../engine/metering/metrics.ts";
import type { RoutingPorts } from "../../server/routing.ts";
import type { CloudDouble, DoubleTurn } from "./cloud-double/cloud-double.ts";
import { doubleBackend, type RoutedServer, startRoutedServer } from "./routed-server.ts";

export interface FaultReport {
  readonly seed: number;
  readonly faults: readonly string[];
  /** Canaries at the cloud, of private requests: none is right. */
  readonly leaked: boolean;
  /** Answers to private requests that came from the cloud or do not say where from. */
  readonly astray: readonly string[];
  /** Public requests that the cloud answered, so that a run without a way out proves nothing by its silence. */
  readonly publicServed: number;
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

/** Private in several ways; the canary is a part that has to stay, whatever rule speaks. */
const TEXTS: readonly ((canary: string) => string)[] = [
  (canary) =>
    `Employee ${canary}, resident id 11010519491231002X, was dismissed for misconduct after two written warnings.`,
  (canary) => `Write to ${canary}@firma.example about her salary of 18,000 yuan a month.`,
  (canary) => `请总结：员工${canary}，身份证号11010519491231002X，月薪18000元，本月绩效为C。`,
  (canary) =>
    `10:01 Anna: did you see what ${canary} wrote?\n10:02 Ben: yes, keep it between us\n10:03 Anna: sure`,
  (canary) => `aws_secret_access_key = ${canary}wJalrXUtnFEMI/K7MDENG/bPxRfiCYz93kd`,
  (canary) => `Ｃａｒｄ ４１１１ １１１１ １１１１ １１１１ belongs to ${canary}`,
];

/** Where in a body the text stands. */
const SHAPES: readonly ((text: string) => {
  readonly path: string;
  readonly body: Record<string, unknown>;
})[] = [
  (text) => chat([{ role: "user", content: text }]),
  (text) =>
    chat([
      { role: "system", content: text },
      { role: "user", content: "Summarise it." },
    ]),
  (text) =>
    chat([
      {
        role: "user",
        content: [
          { type: "text", text: "Read this." },
          { type: "text", text },
        ],
      },
    ]),
  (text) =>
    chat([
      { role: "user", content: "Go on." },
      {
        role: "assistant",
        content: null,
        tool_calls: [
          {
            id: "c",
            type: "function",
            function: { name: "f", arguments: JSON.stringify({ note: JSON.stringify({ text }) }) },
          },
        ],
      },
      { role: "tool", tool_call_id: "c", content: "done" },
    ]),
  (text) =>
    chat([
      { role: "user", content: "Go on." },
      { role: "tool", tool_call_id: "c", content: text },
    ]),
  (text) => chat([{ role: "user", content: "Go on." }], { metadata: { note: text } }),
  (text) => chat([{ role: "user", content: "Go on." }], { hint: { deeper: [text] } }),
  (text) =>
    chat([{ role: "user", content: "Go on." }], {
      tools: [
        { type: "function", function: { name: "f", description: text, parameters: { type: "object" } } },
      ],
    }),
  (text) => ({ path: "/v1/completions", body: { prompt: text } }),
  (text) => ({ path: "/v1/completions", body: { prompt: ["What is a river?", text] } }),
  (text) => ({ path: "/v1/completions", body: { prompt: Buffer.from(text).toString("base64") } }),
];

const chat = (messages: readonly object[], more: object = {}) => ({
  path: "/v1/chat/completions",
  body: { messages, ...more },
});

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

export async function faultRun(seed: number, double: CloudDouble, deadPort: number): Promise<FaultReport> {
  const chance: Chance = (label) => uniform(seed, label);
  const faults = [
    ...new Set([pick(FAULTS, chance(1)), ...(chance(2) < 0.5 ? [pick(FAULTS, chance(3))] : [])]),
  ];
  await double.reset();
  const house: RoutingPorts["local"]["generator"] = {
    name: "local",
    zone: "onprem",
    // biome-ignore lint/correctness/useYield: it fails before it says anything
    async *generate() {
      throw new WeirError("backend_failed", "the house is dead");
    },
  };
  const isDead = faults.some(({ houseFails }) => houseFails === true);
  const screening = faults.find((fault) => fault.screening !== undefined)?.screening;
  await using place = await startRoutedServer({
    backends: {
      ...(faults.some(({ deadBackend }) => deadBackend === true)
        ? {
            vllm: doubleBackend(deadPort, {
              zone: "onprem",
              models: ["big"],
              headers_timeout_ms: 60,
              attempts_max: 1,
            }),
          }
        : {}),
      double: doubleBackend(double.port, {
        headers_timeout_ms: 80,
        idle_timeout_ms: 80,
        hedge: chance(4) < 0.3,
      }),
    },
    ports: { metrics },
    policy: {
      version: 1,
      explicit_cloud: chance(5) < 0.5 ? "refuse" : "reroute",
      classes: { public: { zone: "cloud" } },
    },
    routing: {
      ...(screening === undefined ? {} : { screening }),
      ...(isDead
        ? {
            local: {
              autoModel: () => "small",
              isInstalled: (name) => name === "small",
              isUp: () => true,
              generator: house,
            },
          }
        : {}),
    },
  });
  return { seed, faults: faults.map(({ name }) => name), ...(await askAll(place, faults, double, chance)) };
}

async function askAll(
  place: RoutedServer,
  faults: readonly Fault[],
  double: CloudDouble,
  chance: Chance,
): Promise<Omit<FaultReport, "seed" | "faults">> {
  const turns = faults.flatMap((fault) => fault.turns ?? []);
  if (turns.length > 0) await double.script(...turns);
  const canaries: string[] = [];
  const asked: Promise<Sent>[] = [];
  for (let index = 0; index < 4; index += 1) {
    const at = 10 + index * 10;
    // Letters alone: a canary must not be what a rule finds.
    const canary = `Zq${[...`${chance(at)}`.slice(2, 12)].map((digit) => "abcdefghij"[Number(digit)]).join("")}`;
    const { path, body } = pick(SHAPES, chance(at + 1))(pick(TEXTS, chance(at + 2))(canary));
    const model = pick([undefined, "auto", "double/large", "small"], chance(at + 3));
    canaries.push(canary);
    asked.push(
      sent(
        place,
        path,
        { ...body, ...(model === undefined ? {} : { model }), stream: chance(at + 4) < 0.5 },
        chance(at + 5),
      ),
    );
    if (index === 1) breakPolicy(place, faults);
  }
  const open = sent(
    place,
    "/v1/chat/completions",
    { messages: [{ role: "user", content: "What is the capital of Norway?" }] },
    1,
  );
  const [last, ...answers] = await Promise.all([open, ...asked]);
  const record = JSON.stringify(await double.record());
  const spelled = canaries.flatMap((canary) => [canary, Buffer.from(canary).toString("base64").slice(0, 12)]);
  return {
    leaked: spelled.some((canary) => record.includes(canary)),
    astray: answers.flatMap(({ zone, status }) =>
      zone === "onprem" || status === 0 ? [] : [`${status} ${zone}`],
    ),
    publicServed: last.zone === "cloud" && last.status === 200 ? 1 : 0,
  };
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
