/**
 * `npm run bench -- chunking`: what a long prompt does to answers that run, and what they do to it. Rows decode undisturbed,
 * then a prompt of 1,500 tokens arrives. All through the local engine with its default limits, as served.
 */
import { parseArgs } from "node:util";
import type { KvPrecision } from "../../engine/core/model.ts";
import type { ModelHost } from "../../engine/local/model-host.ts";
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
import { clock, randomPrompt } from "../support/served.ts";
import { percentile, roundedSpread, type Spread, spread } from "../support/stats.ts";
import { table, withSpread } from "../support/table.ts";

export const HELP = `npm run bench -- chunking [options]
${SHARED_HELP}
  --rows LIST      answers that run (default 4,8)
  --kv CACHE       int8 or f32 (default: what an import chooses)`;

/** p95 of the time between tokens while the prompt is computed, over the undisturbed one. */
const GAP_BOUND = 2;
/** Time to the prompt's first token, over its time alone. */
const TTFT_BOUND = 3;

interface ChunkingOptions extends BenchOptions {
  readonly rows: readonly number[];
  readonly kv: KvPrecision | undefined;
  readonly promptTokens: number;
  /** Tokens of each row that are timed before the prompt arrives. */
  readonly undisturbed: number;
}

/** Milliseconds, of one round. */
interface Sample {
  readonly before: { readonly p50: number; readonly p95: number };
  readonly during: { readonly p50: number; readonly p95: number; readonly longest: number };
  readonly ttftAlone: number;
  readonly ttft: number;
}

export interface ChunkingFigure extends FigureLine {
  readonly rows: number;
  readonly promptTokens: number;
  readonly gapP50Ms: Spread;
  readonly gapP95Ms: Spread;
  readonly gapP95DuringMs: Spread;
  /** Undefined in results of before it was kept. */
  readonly gapLongestDuringMs?: Spread;
  /** Round by round: during over before, both p95. */
  readonly gapRatio: Spread;
  readonly ttftAloneMs: Spread;
  readonly ttftMs: Spread;
  readonly ttftRatio: Spread;
}

/** Of each row; short beside the prompt that disturbs them. */
const ROW_PROMPT = 96;
const WARM_TOKENS = 8;

export async function runChunking(args: readonly string[]): Promise<void> {
  const options = optionsFrom(args);
  const watch = watchMachine();
  const { facts } = watch;
  const house = await buildHouse(options, options.kv);
  const host = await openHost(house);
  try {
    const { engine } = house.config;
    console.log(
      `commit ${facts.commit}, ${facts.cpu}, ${facts.cores} cores, load ${facts.loadBefore}\n` +
        `${options.shape} ${options.type}, ${house.kv} cache, ${options.threads} threads, ${options.rounds} rounds; chunks of ` +
        `${engine.chunkTokensMin} to ${engine.chunkTokensMax} tokens, stretch ${engine.interTokenStretchMax}`,
    );
    const figures: ChunkingFigure[] = [];
    for (const rows of options.rows) figures.push(await measureRows(host, house, options, rows, facts.run));
    console.log(`\n${chunkingTable(figures)}\n`);
    keep(options, watch, house, figures);
  } finally {
    await host.close();
    house.remove();
  }
}

function optionsFrom(args: readonly string[]): ChunkingOptions {
  const { values } = parseArgs({
    args: [...args],
    options: { ...SHARED_OPTIONS, rows: { type: "string" }, kv: { type: "string" } },
  });
  const shared = sharedOptions(values);
  const { kv } = values;
  if (kv !== undefined && kv !== "int8" && kv !== "f32")
    throw new Error(`--kv must be int8 or f32, not ${kv}`);
  const rows = (values.rows ?? (shared.quick ? "2" : "4,8")).split(",");
  return {
    ...shared,
    rows: rows.map((part) => wholeNumber("rows", part) as number),
    kv,
    promptTokens: shared.quick ? 400 : 1500,
    undisturbed: shared.quick ? 16 : 64,
  };
}

async function measureRows(
  host: ModelHost,
  house: House,
  options: ChunkingOptions,
  rows: number,
  run: string,
): Promise<ChunkingFigure> {
  const samples: Sample[] = [];
  // Round 0 warms up and lets the scheduler learn what chunks cost; it is part of no figure.
  for (let round = 0; round <= options.rounds; round += 1) {
    const sample = await measureOnce(host, house, options, rows, round);
    if (round === 0) continue;
    samples.push(sample);
    console.log(
      `${rows} rows, round ${round} of ${options.rounds}: p95 ${sample.before.p95.toFixed(1)} -> ${sample.during.p95.toFixed(1)} ms, ` +
        `TTFT ${sample.ttftAlone.toFixed(0)} -> ${sample.ttft.toFixed(0)} ms`,
    );
  }
  const of = (pick: (sample: Sample) => number): Spread => roundedSpread(spread(samples.map(pick)));
  return {
    ...{ kind: "figure", run, rows, promptTokens: options.promptTokens },
    gapP50Ms: of(({ before }) => before.p50),
    gapP95Ms: of(({ before }) => before.p95),
    gapP95DuringMs: of(({ during }) => during.p95),
    gapLongestDuringMs: of(({ during }) => during.longest),
    gapRatio: of(({ before, during }) => during.p95 / before.p95),
    ttftAloneMs: of(({ ttftAlone }) => ttftAlone),
    ttftMs: of(({ ttft }) => ttft),
    ttftRatio: of(({ ttftAlone, ttft }) => ttft / ttftAlone),
  };
}

async function measureOnce(
  host: ModelHost,
  { model }: House,
  options: ChunkingOptions,
  rows: number,
  round: number,
): Promise<Sample> {
  const { vocabSize } = model.manifest.geometry;
  const seed = 1000 * (round + 1) + 100 * rows;
  const long = (index: number) => randomPrompt(seed + index, options.promptTokens, vocabSize);
  const ttftAlone = await timeToFirst(host, long(90));
  const running = Array.from({ length: rows }, (_, row) =>
    watch(host, randomPrompt(seed + row, ROW_PROMPT, vocabSize)),
  );
  try {
    await Promise.all(running.map((row) => row.reaches(WARM_TOKENS)));
    const from = clock.now();
    const counts = running.map((row) => row.times.length);
    await Promise.all(
      running.map((row, index) => row.reaches((counts[index] as number) + options.undisturbed)),
    );
    const submitted = clock.now();
    const ttft = await timeToFirst(host, long(91));
    const ended = clock.now();
    const before = running.flatMap((row) => gapsWithin(row.times, from, submitted));
    const during = running.flatMap((row) => gapsWithin(row.times, submitted, ended));
    const figures = (gaps: readonly number[]) => ({
      p50: percentile(gaps, 0.5),
      p95: percentile(gaps, 0.95),
      longest: Math.max(...gaps),
    });
    return { before: figures(before), during: figures(during), ttftAlone, ttft };
  } finally {
    await Promise.all(running.map((row) => row.stop()));
  }
}

async function timeToFirst(host: ModelHost, tokens: ReturnType<typeof randomPrompt>): Promise<number> {
  const start = clock.now();
  const request = plainRequest("bench-long", { kind: "tokens", tokens }, 1);
  for await (const event of host.generate(request, new AbortController().signal)) {
    if (event.kind === "finished") return clock.now() - start;
  }
  throw new Error("the long prompt was not answered");
}

interface Watched {
  /** When each token came. */
  readonly times: readonly number[];
  reaches(count: number): Promise<void>;
  stop(): Promise<void>;
}

/** An answer that runs until it is stopped. */
function watch(host: ModelHost, tokens: ReturnType<typeof randomPrompt>): Watched {
  const times: number[] = [];
  const leaving = new AbortController();
  let waiting:
    | { readonly count: number; readonly go: () => void; readonly fail: (error: unknown) => void }
    | undefined;
  const read = async (): Promise<void> => {
    const request = plainRequest("bench-row", { kind: "tokens", tokens }, 2000);
    try {
      for await (const event of host.generate(request, leaving.signal)) {
        if (event.kind !== "text") continue;
        for (const _ of event.tokens) times.push(clock.now());
        if (waiting !== undefined && times.length >= waiting.count) waiting.go();
      }
    } catch (error) {
      if (!leaving.signal.aborted) waiting?.fail(error);
    }
  };
  const done = read();
  return {
    times,
    reaches: (count) =>
      new Promise((go, fail) => {
        if (times.length >= count) go();
        else waiting = { count, go, fail };
      }),
    stop: async () => {
      leaving.abort();
      await done;
    },
  };
}

/** Between tokens of one row, where the later one came within the time. */
function gapsWithin(times: readonly number[], from: number, to: number): readonly number[] {
  return times.flatMap((time, index) => {
    const before = times[index - 1];
    return before === undefined || time <= from || time > to ? [] : [time - before];
  });
}

export const chunkingTable = (figures: readonly ChunkingFigure[]): string =>
  table(
    ["rows", "p50 / p95 undisturbed, ms", "p95 meanwhile, ms", `ratio (≤ ${GAP_BOUND})`].concat([
      "TTFT alone, ms",
      "TTFT, ms",
      `ratio (≤ ${TTFT_BOUND})`,
      "longest gap, ms",
    ]),
    figures.map((figure) => [
      String(figure.rows),
      `${figure.gapP50Ms.median.toFixed(1)} / ${withSpread(figure.gapP95Ms)}`,
      withSpread(figure.gapP95DuringMs),
      withSpread(figure.gapRatio, 2),
      withSpread(figure.ttftAloneMs),
      withSpread(figure.ttftMs),
      withSpread(figure.ttftRatio, 2),
      figure.gapLongestDuringMs === undefined ? "" : withSpread(figure.gapLongestDuringMs),
    ]),
  );

function keep(
  options: ChunkingOptions,
  { facts, othersShare }: Watch,
  { model, kv, config }: House,
  figures: readonly ChunkingFigure[],
): void {
  const share = othersShare();
  warnOfOthers(share);
  if (options.results === undefined) {
    console.log("not kept: the run was quick or not of the whole model");
    return;
  }
  const { weights, block, lossless } = model.manifest.precision;
  const { chunkTokensMin, chunkTokensMax, stepTokensMax, interTokenStretchMax } = config.engine;
  const limits = { chunkTokensMin, chunkTokensMax, stepTokensMax, interTokenStretchMax };
  const path = resultsFile("chunking", options.results);
  appendResults(
    path,
    {
      ...{ kind: "run", ...facts, othersShare: share, options: { ...optionsLine(options), ...limits } },
      model: { weights, block, lossless, cache: kv },
    },
    figures,
  );
  console.log(`appended to ${path}`);
}
