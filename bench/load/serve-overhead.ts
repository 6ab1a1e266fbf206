/**
 * `npm run bench -- serve-overhead`: what HTTP costs. Streaming clients against a real server on 127.0.0.1, and the same
 * conversations through the local engine in the same process, in turns.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { parseArgs } from "node:util";
import { uniform } from "../../engine/core/random.ts";
import type { ChatMessage } from "../../engine/core/request.ts";
import type { ModelHost } from "../../engine/local/model-host.ts";
import { compose } from "../../server/compose.ts";
import { buildHouse, type House, openHost, plainRequest } from "../support/house.ts";
import { type Watch, warnOfOthers, watchMachine } from "../support/machine.ts";
import {
  type BenchOptions,
  optionsLine,
  SHARED_HELP,
  SHARED_OPTIONS,
  sharedOptions,
  wholeNumber,
} from "../support/options.ts";
import { appendResults, type FigureLine, resultsFile } from "../support/results.ts";
import { clock } from "../support/served.ts";
import { median, rounded, roundedSpread, type Spread, spread } from "../support/stats.ts";
import { table, withSpread } from "../support/table.ts";
import type { LoadReport, LoadTask } from "./client-messages.ts";

export const HELP = `npm run bench -- serve-overhead [options]
${SHARED_HELP}
  --clients N      streams at the same time (default 16)`;

/** Through HTTP at least this share of the rate without it. */
const SHARE_MIN = 0.85;

/** Each client sends so many conversations in a row, so that rows join and leave while others run. */
const CONVERSATIONS = 2;

interface OverheadOptions extends BenchOptions {
  readonly clients: number;
  readonly maxTokens: number;
}

export interface OverheadFigure extends FigureLine {
  readonly clients: number;
  readonly promptTokens: number;
  readonly answerTokens: number;
  /** Answer tokens per second from the first request to the last answer, prefill included. */
  readonly http: Spread;
  readonly inProcess: Spread;
  /** http over inProcess, round by round. */
  readonly ratio: Spread;
  /** Median time to the first text of an answer, in ms, over all rounds. */
  readonly firstTextMs: { readonly http: number; readonly inProcess: number };
}

type Sample = Extract<LoadReport, { kind: "done" }>;

export async function runServeOverhead(args: readonly string[]): Promise<void> {
  const options = optionsFrom(args);
  let clientSeconds = 0;
  const watch = watchMachine(() => clientSeconds);
  const { facts } = watch;
  const house = await buildHouse(options, undefined);
  try {
    console.log(
      `commit ${facts.commit}, ${facts.cpu}, ${facts.cores} cores, load ${facts.loadBefore}\n` +
        `${options.shape} ${options.type}, ${house.kv} cache, ${options.threads} threads, ${options.rounds} rounds of ` +
        `${options.clients} clients with ${CONVERSATIONS} conversations each, ${options.maxTokens} tokens of answer`,
    );
    const pairs = await measure(options, house, (seconds) => {
      clientSeconds += seconds;
    });
    const figure = figureOf(facts.run, options, pairs);
    console.log(`\n${overheadTable([figure])}\n`);
    keep(options, watch, house, figure);
  } finally {
    house.remove();
  }
}

function optionsFrom(args: readonly string[]): OverheadOptions {
  const { values } = parseArgs({
    args: [...args],
    options: { ...SHARED_OPTIONS, clients: { type: "string" } },
  });
  const shared = sharedOptions(values);
  const clients = wholeNumber("clients", values.clients) ?? (shared.quick ? 4 : 16);
  return { ...shared, clients, maxTokens: shared.quick ? 8 : 64 };
}

interface Pair {
  readonly http: Sample;
  readonly inProcess: Sample;
}

async function measure(
  options: OverheadOptions,
  house: House,
  onClientSeconds: (seconds: number) => void,
): Promise<readonly Pair[]> {
  const { app, ready, close } = await compose(house.config, { clock, version: "bench" });
  const host = await openHost(house);
  const clients = fork(new URL("./clients.ts", import.meta.url));
  try {
    await ready;
    await app.listen({ host: "127.0.0.1", port: 0 });
    const { port } = app.server.address() as AddressInfo;
    const pairs: Pair[] = [];
    // Round 0 warms everything up and is part of no figure.
    for (let round = 0; round <= options.rounds; round += 1) {
      const task: LoadTask = {
        ...{ port, model: "bench", maxTokens: options.maxTokens },
        clients: conversations(round, options.clients),
      };
      const http = async (): Promise<Sample> => overHttp(clients, task);
      const inProcess = async (): Promise<Sample> => throughEngine(host, task);
      const first = round % 2 === 0 ? await http() : await inProcess();
      const second = round % 2 === 0 ? await inProcess() : await http();
      const pair = round % 2 === 0 ? { http: first, inProcess: second } : { http: second, inProcess: first };
      checkSame(pair);
      onClientSeconds(pair.http.clientSeconds);
      if (round === 0) continue;
      pairs.push(pair);
      console.log(
        `round ${round} of ${options.rounds}: HTTP ${rate(pair.http).toFixed(1)}, in process ${rate(pair.inProcess).toFixed(1)} tokens/s`,
      );
    }
    return pairs;
  } finally {
    clients.kill();
    await close();
    await host.close();
  }
}

/** Some 70 to 190 tokens each; no two alike, within a round or between rounds. */
function conversations(round: number, clients: number): LoadTask["clients"] {
  return Array.from({ length: clients }, (_, client) =>
    Array.from({ length: CONVERSATIONS }, (__, turn) => {
      const seed = (round * clients + client) * CONVERSATIONS + turn;
      const words = Array.from({ length: 10 + Math.floor(25 * uniform(seed, 0)) }, (___, index) =>
        Math.floor(uniform(seed, index + 1) * 36 ** 4).toString(36),
      );
      return [{ role: "user", content: words.join(" ") } satisfies ChatMessage];
    }),
  );
}

async function overHttp(clients: ReturnType<typeof fork>, task: LoadTask): Promise<Sample> {
  clients.send(task);
  const [report] = (await once(clients, "message")) as [LoadReport];
  if (report.kind === "failed") throw new Error(`the clients failed: ${report.message}`);
  return report;
}

async function throughEngine(host: ModelHost, { clients, maxTokens }: LoadTask): Promise<Sample> {
  let promptTokens = 0;
  let answerTokens = 0;
  const firstTextMs: number[] = [];
  const start = clock.now();
  await Promise.all(
    clients.map(async (own, client) => {
      for (const messages of own) {
        const sentAt = clock.now();
        let first = true;
        const request = plainRequest(`bench-${client}`, { kind: "chat", messages }, maxTokens);
        for await (const event of host.generate(request, new AbortController().signal)) {
          if (event.kind === "text" && first) {
            firstTextMs.push(clock.now() - sentAt);
            first = false;
          }
          if (event.kind !== "finished") continue;
          promptTokens += event.usage.promptTokens;
          answerTokens += event.usage.completionTokens;
        }
      }
    }),
  );
  const seconds = (clock.now() - start) / 1000;
  return { kind: "done", seconds, promptTokens, answerTokens, firstTextMs, clientSeconds: 0 };
}

function checkSame({ http, inProcess }: Pair): void {
  if (http.promptTokens !== inProcess.promptTokens || http.answerTokens !== inProcess.answerTokens)
    throw new Error(
      `HTTP answered ${http.promptTokens} + ${http.answerTokens} tokens, the engine ${inProcess.promptTokens} + ${inProcess.answerTokens}`,
    );
}

const rate = ({ answerTokens, seconds }: Sample): number => answerTokens / seconds;

function figureOf(run: string, { clients }: OverheadOptions, pairs: readonly Pair[]): OverheadFigure {
  const [first] = pairs;
  return {
    ...{ kind: "figure", run, clients },
    promptTokens: first?.http.promptTokens ?? 0,
    answerTokens: first?.http.answerTokens ?? 0,
    http: roundedSpread(spread(pairs.map(({ http }) => rate(http)))),
    inProcess: roundedSpread(spread(pairs.map(({ inProcess }) => rate(inProcess)))),
    ratio: roundedSpread(spread(pairs.map(({ http, inProcess }) => rate(http) / rate(inProcess)))),
    firstTextMs: {
      http: rounded(median(pairs.flatMap(({ http }) => http.firstTextMs))),
      inProcess: rounded(median(pairs.flatMap(({ inProcess }) => inProcess.firstTextMs))),
    },
  };
}

export const overheadTable = (figures: readonly OverheadFigure[]): string =>
  table(
    [
      ...[
        "clients",
        "prompt + answer tokens",
        "HTTP, tokens/s",
        "in process, tokens/s",
        `ratio (≥ ${SHARE_MIN})`,
      ],
      "first text: HTTP / in process, ms",
    ],
    figures.map(({ clients, promptTokens, answerTokens, http, inProcess, ratio, firstTextMs }) => [
      String(clients),
      `${promptTokens} + ${answerTokens}`,
      withSpread(http),
      withSpread(inProcess),
      withSpread(ratio, 2),
      `${firstTextMs.http.toFixed(0)} / ${firstTextMs.inProcess.toFixed(0)}`,
    ]),
  );

function keep(
  options: OverheadOptions,
  { facts, othersShare }: Watch,
  house: House,
  figure: OverheadFigure,
): void {
  const share = othersShare();
  warnOfOthers(share);
  if (options.results === undefined) {
    console.log("not kept: the run was quick or not of the whole model");
    return;
  }
  const path = resultsFile("serve-overhead", options.results);
  const { weights, block, lossless } = house.model.manifest.precision;
  appendResults(
    path,
    {
      kind: "run",
      ...facts,
      othersShare: share,
      options: optionsLine(options),
      model: { weights, block, lossless, cache: house.kv },
    },
    [figure],
  );
  console.log(`appended to ${path}`);
}
