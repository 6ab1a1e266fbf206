/**
 * `npm run bench -- report`: writes the tables of RESULTS.md anew from the stored results: the latest run of each bench, and
 * of each model that the peers were compared on. The text around them is written by hand.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type ClassifyFigure, classifyTable } from "./classify.ts";
import { type CompileFigure, compileTable } from "./compile-run.ts";
import { type LedgerFigure, ledgerTables } from "./ledger.ts";
import { type ChunkingFigure, chunkingTable } from "./load/chunking.ts";
import { type CloudStreamFigure, cloudStreamTables } from "./load/cloud-stream.ts";
import { type OverheadFigure, overheadTable } from "./load/serve-overhead.ts";
import type { PeersFigure } from "./peers/figures.ts";
import { insideTable, oneAtATimeTable, ratesTable, ratiosTable } from "./peers/tables.ts";
import {
  type BenchName,
  type FigureLine,
  type RunLine,
  readResults,
  resultsFile,
  type StoredRun,
} from "./support/results.ts";

export const HELP = `npm run bench -- report [options]
  --results DIR    where results were appended (default bench/results)
  --print          prints the tables instead of writing them into bench/RESULTS.md`;

const DOCUMENT = join(import.meta.dirname, "RESULTS.md");
const BEGIN = "<!-- tables: written by `npm run bench -- report` -->";
const END = "<!-- tables: end -->";

export async function runReport(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { results: { type: "string" }, print: { type: "boolean" } },
  });
  const tables = render(values.results);
  if (values.print === true) {
    console.log(tables);
    return;
  }
  writeFileSync(DOCUMENT, replaceTables(readFileSync(DOCUMENT, "utf8"), tables));
  console.log(`wrote the tables of ${DOCUMENT}`);
}

/** The document with everything between its two marks replaced. Throws where the marks are not there. */
export function replaceTables(document: string, tables: string): string {
  const from = document.indexOf(BEGIN);
  const to = document.indexOf(END);
  if (from < 0 || to < from) throw new Error(`${DOCUMENT} has lost its marks ${BEGIN} and ${END}`);
  return `${document.slice(0, from + BEGIN.length)}\n\n${tables}\n\n${document.slice(to)}`;
}

function render(folder: string | undefined): string {
  const sections = [
    ...latest<PeersFigure>("peers", folder, modelOf).map(({ run, figures }) => peersSection(run, figures)),
    ...latest<OverheadFigure>("serve-overhead", folder, modelOf).map(({ run, figures }) =>
      section(`Through HTTP, ${modelOf(run)}`, run, [overheadTable(figures)]),
    ),
    ...latest<ChunkingFigure>(
      "chunking",
      folder,
      (run) => `${modelOf(run)}, ${run.model["cache"]} cache`,
    ).map(({ run, figures }) =>
      section(`A long prompt beside running answers, ${modelOf(run)}, ${run.model["cache"]} cache`, run, [
        chunkingTable(figures),
      ]),
    ),
    ...latest<CloudStreamFigure>("cloud-stream", folder, () => "").map(({ run, figures }) =>
      section(`The first token of a cloud's stream, ${run.options["pauseMs"]} ms before each part`, run, [
        ...cloudStreamTables(figures),
      ]),
    ),
    ...latest<CompileFigure>("compile", folder, () => "").map(({ run, figures }) =>
      section("Compiling", run, [compileTable(figures)]),
    ),
    ...latest<ClassifyFigure>("classify", folder, () => "").map(({ run, figures }) =>
      section("Classifying a request", run, [classifyTable(figures)]),
    ),
    ...latest<LedgerFigure>("ledger", folder, () => "").map(({ run, figures }) =>
      section(`The ledger, ${run.options["lines"]} lines`, run, [...ledgerTables(figures)]),
    ),
  ];
  return sections.length === 0 ? "No results are stored yet." : sections.join("\n\n");
}

function peersSection(run: RunLine, figures: readonly PeersFigure[]): string {
  const { weights, block, lossless, chosenCache, digest } = run.model;
  const aimed = run.options["shape"] === "smollm2-135m" && run.options["type"] === "Q4_0";
  const facts =
    `weir: ${weights}, block ${block}, ${lossless === true ? "lossless" : "not lossless"}; an import chooses the ${chosenCache} ` +
    `cache. Digest of the dequantised tensors, equal in both files: \`${String(digest).slice(0, 16)}…\`. ${run.options["rounds"]} ` +
    "interleaved rounds; median (least–most).";
  return section(`Peers, ${modelOf(run)}`, run, [
    facts,
    ratiosTable(figures, aimed),
    ratesTable(figures),
    oneAtATimeTable(figures),
    insideTable(figures),
  ]);
}

const modelOf = ({ options }: RunLine): string =>
  `${options["shape"]} ${options["type"]}, ${options["threads"]} threads`;

function section(title: string, run: RunLine, parts: readonly string[]): string {
  const versions = Object.entries(run.packages).map(([name, version]) => `${name} ${version}`);
  const machine =
    `${run.run.slice(0, 10)}, commit ${run.commit}${run.changed ? " with changes" : ""}. ${run.cpu}; ${run.cores} cores, ` +
    `${run.memoryGib} GiB; other programs took ${(100 * run.othersShare).toFixed(0)} % of the processors. Node ${run.node}, ${versions.join(", ")}.`;
  return [`### ${title}`, machine, ...parts].join("\n\n");
}

/** The last run of each key, in the order in which the keys first came. */
function latest<Figure extends FigureLine>(
  bench: BenchName,
  folder: string | undefined,
  keyOf: (run: RunLine) => string,
): readonly StoredRun<Figure>[] {
  const runs = readResults<Figure>(resultsFile(bench, folder));
  return [...new Map(runs.map((stored) => [keyOf(stored.run), stored])).values()];
}
