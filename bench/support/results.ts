/** Results are appended to JSON-lines files, never rewritten: a line for the run and its machine, then one a figure. */
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { RunFacts } from "./machine.ts";

const FOLDER = join(import.meta.dirname, "..", "results");

export type BenchName =
  | "peers"
  | "serve-overhead"
  | "chunking"
  | "cloud-stream"
  | "compile"
  | "classify"
  | "ledger";

/** The first line of a run. */
export interface RunLine extends RunFacts {
  readonly kind: "run";
  /** Of the machine's processor time, taken by other programs meanwhile; from 0 to 1. */
  readonly othersShare: number;
  readonly options: Readonly<Record<string, unknown>>;
  readonly model: Readonly<Record<string, unknown>>;
}

export interface FigureLine {
  readonly kind: "figure";
  /** `run` of its first line. */
  readonly run: string;
}

export const resultsFile = (bench: BenchName, folder: string = FOLDER): string =>
  join(folder, `${bench}.jsonl`);

export function appendResults<Figure extends FigureLine>(
  path: string,
  run: RunLine,
  figures: readonly Figure[],
): void {
  mkdirSync(dirname(path), { recursive: true });
  appendFileSync(path, [run, ...figures].map((line) => `${JSON.stringify(line)}\n`).join(""));
}

export interface StoredRun<Figure extends FigureLine> {
  readonly run: RunLine;
  readonly figures: readonly Figure[];
}

/** Runs in the order in which they were made; none where the file is not there. */
export function readResults<Figure extends FigureLine>(path: string): readonly StoredRun<Figure>[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as RunLine | Figure);
  const runs = lines.filter((line): line is RunLine => line.kind === "run");
  return runs.map((run) => ({
    run,
    figures: lines.filter((line): line is Figure => line.kind === "figure" && line.run === run.run),
  }));
}
