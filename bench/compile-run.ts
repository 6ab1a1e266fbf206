/** `npm run bench -- compile`: compile.ts at work, its figures beside their bounds. */
import { parseArgs } from "node:util";
import { benchCompile, type CompileResult } from "./compile.ts";
import { warnOfOthers, watchMachine } from "./support/machine.ts";
import { DEFAULT_CACHE, DEFAULT_RESULTS } from "./support/options.ts";
import { appendResults, type FigureLine, resultsFile } from "./support/results.ts";
import { table } from "./support/table.ts";

export const HELP = `npm run bench -- compile [options]
  --cache DIR      keeps the generated source between runs (default: a folder for temporary files)
  --results DIR    where results are appended (default bench/results)`;

const SECONDS_MAX = 60;

export type CompileFigure = FigureLine & CompileResult;

export async function runCompile(args: readonly string[]): Promise<void> {
  const option = { type: "string" } as const;
  const { values } = parseArgs({ args: [...args], options: { cache: option, results: option } });
  // The compiler runs in processes of its own, whose time cannot be told from that of others: only what was before counts.
  const { facts } = watchMachine();
  const results = await benchCompile(values.cache ?? DEFAULT_CACHE);
  const figures = results.map(
    (result): CompileFigure => ({
      kind: "figure",
      run: facts.run,
      ...result,
      seconds: round(result.seconds),
    }),
  );
  console.log(`commit ${facts.commit}, ${facts.cpu}, ${facts.cores} cores\n\n${compileTable(figures)}\n`);
  warnOfOthers(facts.loadBefore / facts.cores);
  const path = resultsFile("compile", values.results ?? DEFAULT_RESULTS);
  const othersShare = Math.min(1, round(facts.loadBefore / facts.cores));
  appendResults(path, { kind: "run", ...facts, othersShare, options: {}, model: {} }, figures);
  console.log(`appended to ${path}`);
}

const round = (value: number): number => Number(value.toFixed(2));
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);

export const compileTable = (figures: readonly CompileFigure[]): string =>
  table(
    ["model", "source", "to", `seconds (< ${SECONDS_MAX})`, "peak memory, MB", "bound, MB"],
    figures.map(({ shape, source, quant, seconds, peakResidentBytes, boundBytes }) => [
      ...[shape, source, quant, seconds.toFixed(1)],
      ...[megabytes(peakResidentBytes), megabytes(boundBytes)],
    ]),
  );
