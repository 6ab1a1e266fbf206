/**
 * `npm run bench -- peers`: weir, llama.cpp and Transformers.js on the same file with the same threads, in one run. Systems
 * take turns cell by cell, and the order turns with them, so that a machine that changes its speed changes all alike.
 */
import { parseArgs } from "node:util";
import { type RunFacts, type Watch, warnOfOthers, watchMachine } from "../support/machine.ts";
import { type BenchModel, prepareModel } from "../support/models.ts";
import {
  type BenchOptions,
  optionsLine,
  SHARED_HELP,
  SHARED_OPTIONS,
  sharedOptions,
  wholeNumber,
} from "../support/options.ts";
import { appendResults, resultsFile } from "../support/results.ts";
import { figureOf, type PeersFigure } from "./figures.ts";
import { openLlamaModel, openLlamaSystem } from "./llama.ts";
import { type Cell, describeCell, type Measured, type System } from "./system.ts";
import { insideTable, oneAtATimeTable, ratesTable, ratiosTable } from "./tables.ts";
import { openTransformers } from "./transformers.ts";
import { exportForTransformers } from "./transformers-graph.ts";
import { openWeir } from "./weir.ts";

export const HELP = `npm run bench -- peers [options]
${SHARED_HELP}
  --contexts LIST  tokens that rows hold when the clock starts (default 256,1024)
  --no-transformers  leaves Transformers.js out`;

interface PeersOptions extends BenchOptions {
  readonly contexts: readonly number[];
  readonly transformers: boolean;
}

interface Opened {
  readonly systems: readonly System[];
  readonly llamaFeatures: string;
  close(): Promise<void>;
}

export async function runPeers(args: readonly string[]): Promise<void> {
  const options = optionsFrom(args);
  const watch = watchMachine();
  const { facts } = watch;
  const cells = cellsOf(options);
  const model = await prepareModel(options);
  try {
    describeRun(options, facts, model);
    const opened = await openSystems(options, model, cells);
    console.log(`llama.cpp's kernels: ${opened.llamaFeatures}`);
    for (const { name, settings } of opened.systems) console.log(`${name}: ${settings}`);
    try {
      const figures = await measureAll(opened.systems, cells, options.rounds, facts.run);
      printFigures(figures, options);
      keep(options, watch, model, opened, figures);
    } finally {
      await opened.close();
    }
  } finally {
    model.remove();
  }
}

function optionsFrom(args: readonly string[]): PeersOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...SHARED_OPTIONS,
      contexts: { type: "string" },
      "no-transformers": { type: "boolean" },
    },
  });
  const shared = sharedOptions(values);
  const contexts = (values.contexts ?? (shared.quick ? "48,96" : "256,1024"))
    .split(",")
    .map((part) => wholeNumber("contexts", part) as number);
  return { ...shared, contexts, transformers: values["no-transformers"] !== true };
}

/** Fewer steps where a step takes longer: each cell takes about a second on two cores. */
const STEPS: readonly (readonly [rows: number, steps: number])[] = [
  [1, 64],
  [2, 64],
  [4, 64],
  [8, 40],
  [16, 26],
  [32, 14],
];
/** At long contexts memory for more rows is not what a small machine has. */
const LONG_CONTEXT = 512;
const LONG_ROWS_MAX = 8;

function cellsOf({ contexts, quick }: PeersOptions): readonly Cell[] {
  const sizes = quick ? STEPS.slice(0, 3).map(([rows]) => [rows, 6] as const) : STEPS;
  const decode = contexts.flatMap((context) =>
    sizes
      .filter(([rows]) => context < LONG_CONTEXT || rows <= LONG_ROWS_MAX)
      .map(([rows, steps]) => ({ kind: "decode", context, rows, steps }) as const),
  );
  const prefill = (quick ? [32, 64] : [128, 512]).map((tokens) => ({ kind: "prefill", tokens }) as const);
  return [...decode, ...prefill];
}

async function openSystems(
  { threads, transformers }: PeersOptions,
  model: BenchModel,
  cells: readonly Cell[],
): Promise<Opened> {
  const { contextLength, geometry, precision } = model.manifest;
  const { vocabSize } = geometry;
  const systems: System[] = [];
  const tell = (what: string): void => console.log(`preparing: ${what}`);
  // The cache that an import would choose comes first.
  for (const kv of precision.kv === "int8" ? (["int8", "f32"] as const) : (["f32", "int8"] as const)) {
    const name = `weir, ${kv} cache`;
    tell(name);
    systems.push(await openWeir({ name, model: model.lane(kv), contextLength, threads, cells }));
  }
  const { llama, model: llamaModel } = await openLlamaModel(model.gguf);
  for (const cache of ["F16", "Q8_0"] as const) {
    tell(`llama.cpp, ${cache} cache`);
    systems.push(await openLlamaSystem(llamaModel, { cache, vocabSize, threads, cells }));
  }
  if (transformers) {
    tell("Transformers.js");
    const folder = exportForTransformers(model.folder, model.manifest);
    systems.push(await openTransformers({ folder, vocabSize, threads }));
  }
  return {
    systems,
    llamaFeatures: llama.systemInfo.replaceAll(" = 1", ""),
    close: async () => {
      for (const system of systems) await system.close();
      await llamaModel.dispose();
      await llama.dispose();
    },
  };
}

async function measureAll(
  systems: readonly System[],
  cells: readonly Cell[],
  rounds: number,
  run: string,
): Promise<readonly PeersFigure[]> {
  const samples = new Map<Cell, Map<System, Measured[]>>(
    cells.map((cell) => [
      cell,
      new Map(systems.filter((system) => system.can(cell)).map((system) => [system, []])),
    ]),
  );
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, cell] of cells.entries()) {
      const able = [...(samples.get(cell) ?? [])];
      for (let turn = 0; turn < able.length; turn += 1) {
        const [system, measured] = able[(turn + round + index) % able.length] as [System, Measured[]];
        measured.push(await system.measure(cell));
      }
      const latest = able.map(([{ name }, all]) => `${name} ${all.at(-1)?.tokensPerSecond.toFixed(0)}`);
      console.log(`round ${round + 1} of ${rounds}: ${describeCell(cell)}: ${latest.join("; ")}`);
    }
  }
  return cells.map((cell) =>
    figureOf(
      run,
      cell,
      [...(samples.get(cell) ?? [])].map(([system, measured]) => ({ system, rounds: measured })),
    ),
  );
}

function describeRun(options: PeersOptions, facts: RunFacts, model: BenchModel): void {
  const { precision } = model.manifest;
  const { nll } = precision;
  console.log(
    [
      `commit ${facts.commit}${facts.changed ? " (tree changed)" : ""}, ${facts.cpu}, ${facts.cores} cores, load ${facts.loadBefore}`,
      `random weights in the shape of ${options.shape}, ${options.type}, ${options.threads} threads, ${options.rounds} rounds`,
      `weir: ${precision.weights}, block ${precision.block}, ${precision.lossless ? "lossless" : "NOT lossless"}; an import would choose the ${precision.kv} cache` +
        (nll === undefined ? "" : ` (loss ${(nll.int8 - nll.f32).toFixed(4)} nats a token, random weights)`),
      `digest of the ${model.digests.tensors} dequantised tensors, equal in the GGUF and in what weir compiled: ${model.digests.source}`,
      `compiled in ${model.compileSeconds.toFixed(1)} s, calibration of the int8 cache included`,
      "the first timed token stands two positions behind the context that is named; greedy, no end tokens",
    ].join("\n"),
  );
  if (facts.loadBefore > 0.5)
    console.log("WARNING: the machine is busy, so these figures are not to be trusted");
}

function printFigures(figures: readonly PeersFigure[], { shape, type, transformers }: PeersOptions): void {
  const aimed = shape === "smollm2-135m" && type === "Q4_0";
  const tables = [
    ratesTable(figures),
    ratiosTable(figures, aimed),
    ...(transformers ? [oneAtATimeTable(figures)] : []),
    insideTable(figures),
  ];
  console.log(`\n${tables.join("\n\n")}\n`);
}

function keep(
  options: PeersOptions,
  { facts, othersShare }: Watch,
  { manifest, digests, compileSeconds }: BenchModel,
  { systems, llamaFeatures }: Opened,
  figures: readonly PeersFigure[],
): void {
  const share = othersShare();
  warnOfOthers(share);
  if (options.results === undefined) {
    console.log("not kept: the run was quick or not of the whole model");
    return;
  }
  const { weights, block, lossless, kv } = manifest.precision;
  const path = resultsFile("peers", options.results);
  appendResults(
    path,
    {
      kind: "run",
      ...facts,
      othersShare: share,
      options: optionsLine(options),
      model: {
        ...{ weights, block, lossless, chosenCache: kv, digest: digests.source, llamaFeatures },
        compileSeconds: Number(compileSeconds.toFixed(1)),
        systems: Object.fromEntries(systems.map(({ name, settings }) => [name, settings])),
      },
    },
    figures,
  );
  console.log(`appended to ${path}`);
}
