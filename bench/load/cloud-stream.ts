/**
 * `npm run bench -- cloud-stream`: how much later the first token of a cloud's stream comes through weir. The cloud is the
 * recording double of the tests, in a process of its own; the same answer comes directly, through weir for public text, and
 * through weir for internal text that leaves pseudonymised and is restored as it comes back, in turns.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { stringify } from "yaml";
import { type Composed, compose } from "../../server/compose.ts";
import { loadConfig } from "../../server/config.ts";
import {
  type CloudDouble,
  type DoubleTurn,
  startCloudDouble,
} from "../../test/support/cloud-double/cloud-double.ts";
import { warnOfOthers, watchMachine } from "../support/machine.ts";
import { DEFAULT_RESULTS, wholeNumber } from "../support/options.ts";
import { appendResults, type FigureLine, resultsFile } from "../support/results.ts";
import { clock } from "../support/served.ts";
import { percentile, rounded, roundedSpread, type Spread, spread } from "../support/stats.ts";
import { table, withSpread } from "../support/table.ts";
import type { StreamAsk, StreamReport, StreamTask, Way } from "./stream-messages.ts";

export const HELP = `npm run bench -- cloud-stream [options]
  --requests N     of each way (default 300)
  --pause MS       of the cloud before each part of its answer (default 20)
  --results DIR    where results are appended (default bench/results)
  --quick          a few requests: shows that it works, its figures mean nothing and are not kept`;

/** What filtering may add to the time to the first token, in ms. */
const FILTER_MS_MAX = 5;
/** Connections are opened and code is compiled in these; they are part of no figure. */
const WARM_UP = 20;

const WAYS = ["direct", "public", "pseudonymised"] as const satisfies readonly Way[];

export interface CloudStreamFigure extends FigureLine {
  /** Of each way. */
  readonly requests: number;
  readonly pauseMs: number;
  /** Of a request as the client sends it, in bytes; the ways differ by a few. */
  readonly bodyBytes: number;
  /** Time to the first text of an answer, in ms. */
  readonly firstContentMs: Readonly<Record<Way, Spread & { readonly p95: number }>>;
}

/** By way, in the order in which they were asked. */
export type Samples = Readonly<Record<Way, readonly number[]>>;

export async function runCloudStream(args: readonly string[]): Promise<void> {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: { requests: text, pause: text, results: text, quick: { type: "boolean" } },
  });
  const quick = values.quick === true;
  const requests = wholeNumber("requests", values.requests) ?? (quick ? 10 : 300);
  const pauseMs = wholeNumber("pause", values.pause) ?? 20;
  let clientSeconds = 0;
  // The double counts as another program: it takes less than one in a hundred.
  const watch = watchMachine(() => clientSeconds);
  const { facts } = watch;
  console.log(`commit ${facts.commit}, ${facts.cpu}, ${facts.cores} cores, load ${facts.loadBefore}`);
  console.log(`${requests} requests a way, the cloud waits ${pauseMs} ms before each part\n`);
  await using place = await openPlace();
  const { samples, bodyBytes, seconds } = await measure(place, requests, pauseMs);
  clientSeconds = seconds;
  const figure = figureOf(facts.run, { requests, pauseMs, bodyBytes }, samples);
  for (const lines of cloudStreamTables([figure])) console.log(`${lines}\n`);
  const othersShare = watch.othersShare();
  warnOfOthers(othersShare);
  const results = values.results ?? (quick ? undefined : DEFAULT_RESULTS);
  if (results === undefined) {
    console.log("not kept: the run was quick");
    return;
  }
  const path = resultsFile("cloud-stream", results);
  appendResults(path, { kind: "run", ...facts, othersShare, options: { requests, pauseMs }, model: {} }, [
    figure,
  ]);
  console.log(`appended to ${path}`);
}

interface Place extends AsyncDisposable {
  readonly double: CloudDouble;
  readonly weirPort: number;
}

/** weir as it is served, with one cloud and a policy that lets internal text out pseudonymised; it has no model of its own. */
async function openPlace(): Promise<Place> {
  const home = mkdtempSync(join(tmpdir(), "weir-bench-"));
  const double = await startCloudDouble();
  const stop = async (composed?: Composed): Promise<void> => {
    await composed?.close();
    await double.close();
    rmSync(home, { recursive: true, force: true });
  };
  try {
    const composed = await composeFor(double, home);
    await composed.ready;
    await composed.app.listen({ host: "127.0.0.1", port: 0 });
    const { port } = composed.app.server.address() as AddressInfo;
    return { double, weirPort: port, [Symbol.asyncDispose]: () => stop(composed) };
  } catch (error) {
    await stop();
    throw error;
  }
}

function composeFor(double: CloudDouble, home: string): Promise<Composed> {
  const cloud = {
    ...{
      zone: "cloud",
      kind: "openai",
      url: `http://127.0.0.1:${double.port}/v1`,
      models: { large: "large-1" },
    },
    ...{ plaintext: true, ranges: ["127.0.0.0/8"], attempts_max: 1 },
  };
  const settings = {
    models: { resident: false },
    backends: { cloud },
    routing: { policy_file: "policy.yaml" },
    log: { level: "error" },
  };
  const classes = { public: { zone: "cloud" }, internal: { zone: "cloud", pseudonymise: true } };
  writeFileSync(join(home, "weir.yaml"), stringify(settings));
  writeFileSync(join(home, "policy.yaml"), stringify({ version: 1, classes }));
  const config = loadConfig({ env: { WEIR_HOME: home, WEIR_CONFIG: join(home, "weir.yaml") }, cwd: home });
  return compose(config, { clock, version: "bench" });
}

/** What stands in the place of each value, in their order: known once the double has seen a request. */
const HOSTS = ["10.20.30.40", "10.20.30.41"];
const TOPICS = [
  "Explain first what each of them is responsible for, and how clients find the right one.",
  "Compare round robin with a choice by load, and say where either of them goes wrong.",
  "Describe what happens to open connections when one of the two is taken away for repair.",
  "Say how long a name may be kept by a resolver, and what a shorter time would cost.",
  "Give an example of a health check that finds a server which takes requests but answers none.",
  "Add what should be measured, and which two curves you would look at in the morning.",
  "Mention how the same is done with one address that several machines announce.",
  "Close with a list of five steps for a change without an interruption.",
];

/** About 1 kB; no two rounds ask in the same words. `hosts`: two names for two machines. */
export function questionOf(hosts: readonly string[], round: number): string {
  const from = round % TOPICS.length;
  const topics = [...TOPICS.slice(from), ...TOPICS.slice(0, from)];
  const start = `Should ${hosts[0]} answer for the archive, or is ${hosts[1]} the better choice?`;
  return `${start} Take ${round + 2} clients as an example. ${topics.join(" ")}`;
}

async function measure(
  { double, weirPort }: Place,
  requests: number,
  pauseMs: number,
): Promise<{ readonly samples: Samples; readonly bodyBytes: number; readonly seconds: number }> {
  const client = fork(new URL("./stream-client.ts", import.meta.url));
  try {
    const placeholders = await learnPlaceholders(double, weirPort);
    const texts = answerTexts(placeholders);
    const rounds = WARM_UP + requests;
    const turn: DoubleTurn = { kind: "answer", texts, splitBytes: "event", pauseMs };
    await double.script(...Array.from({ length: rounds * WAYS.length }, () => turn));
    const asks = Array.from({ length: rounds }, (_, round) =>
      orderOf(round).map((way) =>
        askOf(way, round, { double, weirPort, placeholders, text: texts.join("") }),
      ),
    ).flat();
    client.send({ asks } satisfies StreamTask);
    const [report] = (await once(client, "message")) as [StreamReport];
    if (report.kind === "failed") throw new Error(`the client failed: ${report.message}`);
    await checkSent(double, asks.length);
    const counted = asks.map((ask, index) => ({ ask, ms: report.firstContentMs[index] as number }));
    const of = (way: Way) =>
      counted.slice(WARM_UP * WAYS.length).flatMap(({ ask, ms }) => (ask.way === way ? [ms] : []));
    return {
      samples: { direct: of("direct"), public: of("public"), pseudonymised: of("pseudonymised") },
      bodyBytes: Buffer.byteLength(asks.at(-1)?.body ?? ""),
      seconds: report.clientSeconds,
    };
  } finally {
    client.kill();
  }
}

/** Each way is as often first, second and last as the others. */
export function orderOf(round: number): readonly Way[] {
  const from = round % WAYS.length;
  return [...WAYS.slice(from), ...WAYS.slice(0, from)];
}

/** The first part has a whole placeholder, so that restoring is part of the time; later ones come cut. */
function answerTexts([first = "", second = ""]: readonly string[]): readonly string[] {
  const half = Math.floor(second.length / 2);
  return [`Take ${first} `, `rather than ${second.slice(0, half)}`, `${second.slice(half)} for it.`];
}

interface Asking {
  readonly double: CloudDouble;
  readonly weirPort: number;
  readonly placeholders: readonly string[];
  readonly text: string;
}

function askOf(way: Way, round: number, { double, weirPort, placeholders, text }: Asking): StreamAsk {
  const restored = placeholders.reduce((all, each, index) => all.replace(each, HOSTS[index] as string), text);
  switch (way) {
    case "direct":
      return {
        ...{ way, port: double.port, answer: text, dataClass: undefined },
        body: bodyOf(questionOf(PUBLIC_HOSTS, round), "large-1"),
      };
    case "public":
      return {
        ...{ way, port: weirPort, answer: text, dataClass: "public" },
        body: bodyOf(questionOf(PUBLIC_HOSTS, round), "auto"),
      };
    case "pseudonymised":
      return {
        ...{ way, port: weirPort, answer: restored, dataClass: "internal" },
        body: bodyOf(questionOf(HOSTS, round), "auto"),
      };
  }
}

const PUBLIC_HOSTS = ["the first server", "the second one"];

const bodyOf = (content: string, model: string): string =>
  JSON.stringify({ model, messages: [{ role: "user", content }], max_tokens: 64, stream: true });

/** Asks once, and reads at the double what stands in the place of the values. */
async function learnPlaceholders(double: CloudDouble, port: number): Promise<readonly string[]> {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: bodyOf(questionOf(HOSTS, 0), "auto"),
  });
  await answer.text();
  const [seen] = (await double.record()).requests;
  const placeholders = seen?.body.match(/\[[A-Z]+-[A-Z]+\]/g) ?? [];
  await double.reset();
  if (new Set(placeholders).size !== HOSTS.length) {
    const said = answer.headers.get("x-weir-class");
    throw new Error(
      `the internal question must leave pseudonymised; it was ${said}, ${placeholders.length} found`,
    );
  }
  return placeholders;
}

/** Every request reached the cloud once, and no value did. */
async function checkSent(double: CloudDouble, asks: number): Promise<void> {
  const { requests } = await double.record();
  const values = requests.filter(({ body }) => HOSTS.some((host) => body.includes(host)));
  if (requests.length !== asks || values.length > 0)
    throw new Error(`the cloud got ${requests.length} requests for ${asks}, ${values.length} with values`);
}

export function figureOf(
  run: string,
  facts: Pick<CloudStreamFigure, "requests" | "pauseMs" | "bodyBytes">,
  samples: Samples,
): CloudStreamFigure {
  const of = (way: Way) => ({
    ...roundedSpread(spread(samples[way])),
    p95: rounded(percentile(samples[way], 0.95)),
  });
  const firstContentMs = { direct: of("direct"), public: of("public"), pseudonymised: of("pseudonymised") };
  return { kind: "figure", run, ...facts, firstContentMs };
}

const NAMES: Readonly<Record<Way, string>> = {
  direct: "directly",
  public: "through weir, public",
  pseudonymised: "through weir, pseudonymised",
};

/** The times, and what they differ by. */
export function cloudStreamTables(figures: readonly CloudStreamFigure[]): readonly string[] {
  const ways = figures.flatMap(({ firstContentMs, requests }) =>
    WAYS.map((way) => {
      const { p95, ...times } = firstContentMs[way];
      return [NAMES[way], String(requests), withSpread(times, 1), p95.toFixed(1)];
    }),
  );
  const difference = (what: string, to: Way, from: Way, bound: string): readonly (readonly string[])[] =>
    figures.map(({ firstContentMs }) => {
      const [later, sooner] = [firstContentMs[to], firstContentMs[from]];
      return [what, (later.median - sooner.median).toFixed(2), (later.p95 - sooner.p95).toFixed(2), bound];
    });
  return [
    table(["first content", "requests", "ms, median (least–most)", "p95"], ways),
    table(
      ["later by, ms", "of medians", "of p95s", "bound"],
      [
        ...difference(
          "filtering: pseudonymised over public",
          "pseudonymised",
          "public",
          `≤ ${FILTER_MS_MAX}`,
        ),
        ...difference("classifying and forwarding: public over direct", "public", "direct", ""),
        ...difference("all of it: pseudonymised over direct", "pseudonymised", "direct", ""),
      ],
    ),
  ];
}
