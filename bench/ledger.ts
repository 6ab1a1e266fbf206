/**
 * `npm run bench -- ledger`: what it costs to keep account of every answer. A million lines of a house with 50 keys over 30
 * days are appended, one by one and by as many as may end in one turn of the event loop; then a dashboard's questions are asked.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { LedgerEntry } from "../engine/core/ledger.ts";
import { DAY_MS, HOUR_MS, type UsageQuery } from "../engine/metering/ledger/ledger.ts";
import { SqliteLedger } from "../engine/metering/ledger/sqlite.ts";
import { JANUARY, traffic } from "../test/support/ledger-entries.ts";
import { warnOfOthers, watchMachine } from "./support/machine.ts";
import { DEFAULT_RESULTS, wholeNumber } from "./support/options.ts";
import { appendResults, type FigureLine, resultsFile } from "./support/results.ts";
import { percentile, rounded, roundedSpread, type Spread, spread } from "./support/stats.ts";
import { table, withSpread } from "./support/table.ts";

export const HELP = `npm run bench -- ledger [options]
  --thousands N    lines, in thousands (default 1000)
  --rounds N       how often each question is asked (default 9)
  --results DIR    where results are appended (default bench/results)
  --quick          20,000 lines: shows that it works, its figures mean nothing and are not kept`;

const APPEND_AIM_US = 50;
const QUESTION_AIM_MS = 50;
const BYTES_AIM = 400;
const DAYS = 30;

/** Of appending by so many, or of a question. */
export type LedgerFigure = FigureLine &
  (
    | {
        readonly appended: number;
        readonly batch: number;
        /** Of a line, by the clock and of the processor; of a transaction, the longest in a hundred. */
        readonly us: number;
        readonly processorUs: number;
        readonly p99Ms: number;
      }
    /** By the clock, and of the processor. */
    | { readonly question: string; readonly ms: Spread; readonly processorMs: number }
    | { readonly lines: number; readonly bytes: number }
  );

export async function runLedger(args: readonly string[]): Promise<void> {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: { thousands: text, rounds: text, results: text, quick: { type: "boolean" } },
  });
  const quick = values.quick === true;
  const lines = 1000 * (wholeNumber("thousands", values.thousands) ?? (quick ? 20 : 1000));
  const rounds = wholeNumber("rounds", values.rounds) ?? (quick ? 3 : 9);
  const watch = watchMachine();
  const { facts } = watch;
  console.log(`commit ${facts.commit}, ${facts.cpu}, ${facts.cores} cores, load ${facts.loadBefore}`);
  const figures = (await measure(lines, rounds)).map(
    (figure) => ({ kind: "figure", run: facts.run, ...figure }) as LedgerFigure,
  );
  for (const each of ledgerTables(figures)) console.log(`\n${each}`);
  const othersShare = watch.othersShare();
  warnOfOthers(othersShare);
  const results = values.results ?? (quick ? undefined : DEFAULT_RESULTS);
  if (results === undefined) {
    console.log("not kept: the run was quick");
    return;
  }
  const path = resultsFile("ledger", results);
  appendResults(path, { kind: "run", ...facts, othersShare, options: { lines, rounds }, model: {} }, figures);
  console.log(`appended to ${path}`);
}

type Measured<Figure> = Figure extends FigureLine ? Omit<Figure, keyof FigureLine> : never;

async function measure(lines: number, rounds: number): Promise<readonly Measured<LedgerFigure>[]> {
  const folder = mkdtempSync(join(tmpdir(), "weir-bench-"));
  const file = join(folder, "ledger.sqlite");
  const ledger = new SqliteLedger({ file, syncEveryMs: 1000 });
  try {
    const appended = await appendAll(ledger, lines);
    const questions: Measured<LedgerFigure>[] = [];
    for (const [question, query] of QUESTIONS) {
      const times: number[] = [];
      const processor = process.cpuUsage();
      for (let round = 0; round < rounds; round += 1) {
        const start = performance.now();
        await ledger.usage(query);
        times.push(performance.now() - start);
      }
      const { user, system } = process.cpuUsage(processor);
      const processorMs = rounded((user + system) / 1000 / rounds);
      questions.push({ question, ms: roundedSpread(spread(times)), processorMs });
    }
    await ledger.close();
    return [...appended, { lines, bytes: rounded(statSync(file).size / lines) }, ...questions];
  } finally {
    await ledger.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const FROM = JANUARY + 7 * HOUR_MS + 1234;
const month = { from: FROM, to: JANUARY + DAYS * DAY_MS };
const QUESTIONS: readonly (readonly [string, UsageQuery])[] = [
  ["a month's total", month],
  ["a month by team", { ...month, groupBy: "team" }],
  ["a month by key", { ...month, groupBy: "key" }],
  ["a month by model", { ...month, groupBy: "model" }],
  ["a month by tier", { ...month, groupBy: "tier" }],
  ["a month by day", { ...month, groupBy: "day" }],
  ["a month by hour", { ...month, groupBy: "hour" }],
  ["a team's month by day", { ...month, where: { team: "team-3" }, groupBy: "day" }],
  ["a day by key", { from: FROM, to: FROM + DAY_MS, groupBy: "key" }],
  ["a team's day by hour", { from: FROM, to: FROM + DAY_MS, where: { team: "team-3" }, groupBy: "hour" }],
];

/** Batches take turns, so that each is measured on an empty file and on a full one. */
const BATCHES = [1, 2, 10, 100];
const TURN = 1000;

async function appendAll(ledger: SqliteLedger, lines: number): Promise<readonly Measured<LedgerFigure>[]> {
  const entries = traffic(lines, DAYS);
  const of = new Map(
    BATCHES.map((batch) => [batch, { lines: 0, ms: 0, processorUs: 0, times: [] as number[] }]),
  );
  for (let turn = 0; turn * TURN < lines; turn += 1) {
    const batch = BATCHES[turn % BATCHES.length] as number;
    const tally = of.get(batch);
    if (tally === undefined) throw new Error("every batch has its tally");
    const some = next(entries, TURN);
    const processor = process.cpuUsage();
    for (let at = 0; at < some.length; at += batch) {
      const start = performance.now();
      await Promise.all(some.slice(at, at + batch).map((entry) => ledger.append(entry)));
      tally.times.push(performance.now() - start);
    }
    const { user, system } = process.cpuUsage(processor);
    tally.processorUs += user + system;
    tally.lines += some.length;
  }
  return [...of].map(([batch, tally]) => ({
    appended: tally.lines,
    batch,
    us: rounded((1000 * tally.times.reduce((sum, ms) => sum + ms, 0)) / tally.lines),
    processorUs: rounded(tally.processorUs / tally.lines),
    p99Ms: rounded(percentile(tally.times, 0.99)),
  }));
}

function next(entries: Iterator<LedgerEntry>, count: number): readonly LedgerEntry[] {
  const some: LedgerEntry[] = [];
  while (some.length < count) {
    const { done, value } = entries.next();
    if (done === true) break;
    some.push(value);
  }
  return some;
}

export function ledgerTables(figures: readonly LedgerFigure[]): readonly string[] {
  const appends = figures.flatMap((figure) => ("batch" in figure ? [figure] : []));
  const questions = figures.flatMap((figure) => ("question" in figure ? [figure] : []));
  const room = figures.flatMap((figure) => ("bytes" in figure ? [figure] : []));
  return [
    table(
      [
        "lines that end together",
        "appended",
        `µs a line (≤ ${APPEND_AIM_US})`,
        "µs of processor",
        "p99 of a transaction, ms",
      ],
      appends.map(({ batch, appended, us, processorUs, p99Ms }) => [
        ...[String(batch), String(appended), us.toFixed(1), processorUs.toFixed(1), p99Ms.toFixed(2)],
      ]),
    ),
    table(
      ["lines", `bytes a line (≤ ${BYTES_AIM})`],
      room.map(({ lines, bytes }) => [String(lines), bytes.toFixed(0)]),
    ),
    table(
      ["question", `ms, median (least–most) (≤ ${QUESTION_AIM_MS})`, "ms of processor"],
      questions.map(({ question, ms, processorMs }) => [question, withSpread(ms, 1), processorMs.toFixed(1)]),
    ),
  ];
}
