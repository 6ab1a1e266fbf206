/** From a model file to an installed model, all or nothing: it is compiled beside its place and moved there when done. */
import { statfsSync } from "node:fs";
import type { Clock } from "../engine/core/clock.ts";
import { type Catalog, notInstalled, readModelFolder } from "./catalog.ts";
import { compiledWeightBytes } from "./compile/size.ts";
import { type AdoptRequest, adoptExported, adoptedBytes } from "./exported/adopt.ts";
import type { ExportedSource } from "./exported/open.ts";
import type { Manifest } from "./manifest.ts";
import { ModelError } from "./model-error.ts";
import { checkModelName } from "./model-name.ts";
import type { ModelSource } from "./source.ts";
import { stage } from "./staging.ts";

export interface InstallRequest {
  /** A GGUF file, a folder with safetensors, or an exported ONNX graph or a folder with one. */
  readonly path: string;
  readonly name: string;
  readonly quant: "q4" | "q8" | "f32" | undefined;
  readonly block: 32 | 64 | 128 | undefined;
  readonly kv: "auto" | "f32" | "int8";
  /** `keep` refuses a name that is taken. */
  readonly existing: "keep" | "replace";
  /** Where the file came from: `ORG/NAME@commit`. */
  readonly origin?: string;
  /** Where the file itself does not say. */
  readonly licence?: string;
}

/** What is asked of the compiler: the parts of its options that an installation decides. */
export interface CompileRequest {
  readonly name: string;
  readonly quant: InstallRequest["quant"];
  readonly block: InstallRequest["block"];
  readonly kv: InstallRequest["kv"];
  /** An empty folder. */
  readonly outDir: string;
  /** Seconds since 1970. */
  readonly createdAt: number;
  readonly origin?: string;
  readonly onProgress: Progress;
}

export type Progress = (done: number, total: number, what: string) => void;

export interface InstallPorts {
  readonly catalog: Catalog;
  /** `$WEIR_HOME/models` */
  readonly modelsFolder: string;
  readonly clock: Clock;
  readonly open: (path: string) => ModelSource | ExportedSource;
  readonly compile: (source: ModelSource, request: CompileRequest) => Promise<Manifest>;
  /** For exported graphs; without it they are taken in without a trial run. */
  readonly adopt?: (source: ExportedSource, request: AdoptRequest) => Promise<Manifest>;
  readonly onProgress: Progress;
}

/** Resolves once the model is in its place and on disk. After a failure nothing of it is left. */
export async function installModel(request: InstallRequest, ports: InstallPorts): Promise<Manifest> {
  const { name } = request;
  checkInstallable(request, ports.catalog);

  const source = ports.open(request.path);
  if (source.kind === "onnx") refuseConversion(source, request);
  try {
    using staged = stage(ports.modelsFolder, name, ports.clock);
    // Another process may have installed it while this one waited for nothing but the lock.
    refuseTaken(request, ports.catalog);
    checkSpace(bytesOf(source, request), staged.fresh);
    await bringInto(staged.fresh, source, request, ports, staged.touch);
    const made = readModelFolder(staged.fresh, name);
    if (made.state === "broken") throw new ModelError(`The compiler left a damaged model: ${made.why}.`);
    staged.commit();
    return made.manifest;
  } finally {
    if (source.kind !== "onnx") source.store.close();
  }
}

/** Also removes a broken model, which is often why it is removed. */
export function uninstallModel(
  name: string,
  { catalog, modelsFolder, clock }: Pick<InstallPorts, "catalog" | "modelsFolder" | "clock">,
): void {
  const entry = catalog.find(name);
  if (entry === undefined) throw notInstalled(name);
  if (entry.origin === "built-in") throw new ModelError(`${name} comes with weir and cannot be removed.`);
  using staged = stage(modelsFolder, name, clock);
  staged.removeInstalled();
}

/** Throws where the request cannot succeed whatever the file holds: before anything is fetched or read. */
export function checkInstallable(request: Omit<InstallRequest, "path">, catalog: Catalog): void {
  checkModelName(request.name);
  if (request.quant === "f32" && request.block !== undefined) {
    throw new ModelError("--block goes with q4 and q8 weights; f32 weights share no scales.");
  }
  if (request.quant === "f32" && request.kv === "int8") {
    throw new ModelError("--quant f32 implies --kv f32; leave --kv int8 out, or choose --quant q8.");
  }
  refuseTaken(request, catalog);
}

function refuseTaken({ name, existing }: Pick<InstallRequest, "name" | "existing">, catalog: Catalog): void {
  const entry = catalog.find(name);
  if (entry?.origin === "built-in") {
    throw new ModelError(`${name} is the name of a model that comes with weir. Choose another with --name.`);
  }
  if (entry !== undefined && existing === "keep") {
    throw new ModelError(
      `A model ${name} is installed already. Choose another --name, or replace it with --force.`,
    );
  }
}

/** An exported graph is what it is. */
function refuseConversion({ path, decoder }: ExportedSource, { quant, block, kv }: InstallRequest): void {
  const found = decoder.block === 0 ? decoder.weights : `${decoder.weights} block ${decoder.block}`;
  if (quant !== undefined || block !== undefined) {
    throw new ModelError(
      `${path} is a finished graph and keeps its own weights (${found}); leave --quant and --block out.`,
    );
  }
  if (kv === "int8") {
    throw new ModelError(`${path} is a finished graph with an f32 cache; leave --kv int8 out.`);
  }
}

async function bringInto(
  outDir: string,
  source: ModelSource | ExportedSource,
  { name, quant, block, kv, origin, licence }: InstallRequest,
  { clock, compile, adopt = adoptExported, onProgress }: InstallPorts,
  touch: () => void,
): Promise<void> {
  const known = source.licence ?? licence;
  const common = {
    name,
    outDir,
    createdAt: Math.floor(clock.wall() / 1000),
    ...(origin === undefined ? {} : { origin }),
    onProgress: (done: number, total: number, what: string): void => {
      touch();
      onProgress(done, total, what);
    },
  };
  try {
    if (source.kind === "onnx") await adopt({ ...source, licence: known }, common);
    else await compile({ ...source, licence: known }, { ...common, quant, block, kv });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    throw new ModelError(
      `The disk is full while ${name} was written to ${outDir}; nothing was installed.`,
      error,
    );
  }
}

/** Graphs, tokenizer and rotary tables of a compiled model, in bytes: what a large one has. */
const BESIDE_WEIGHTS = 32 * 2 ** 20;

/** Bytes on disk that the installed model takes, about. */
const bytesOf = (source: ModelSource | ExportedSource, request: InstallRequest): number =>
  source.kind === "onnx" ? adoptedBytes(source) : compiledWeightBytes(source, request) + BESIDE_WEIGHTS;

/** Refuses before the work starts where it cannot end well. */
function checkSpace(needed: number, folder: string): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (needed <= free) return;
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  throw new ModelError(
    `The model needs about ${gigabytes(needed)} under ${folder}, where ${gigabytes(free)} are free. Free some space, or set WEIR_HOME.`,
  );
}
