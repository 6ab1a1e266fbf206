/** Source -> installed model: weights, graph, tokenizer and manifest in one folder. */
import { createHash } from "node:crypto";
import { createReadStream, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { CacheScale, KvPrecision, WeightPrecision } from "../../engine/core/model.ts";
import { describeModel } from "../architectures/index.ts";
import { padHeads } from "../architectures/pad-heads.ts";
import type { DecoderSpec } from "../architectures/spec.ts";
import {
  GRAPH_NAME,
  INT8_GRAPH_NAME,
  LAYOUT_NAME,
  MANIFEST_NAME,
  Manifest,
  SHARED_GRAPH_NAME,
  STAGED_INT8_GRAPH_NAME,
  TOKENIZER_CONFIG_NAME,
  TOKENIZER_NAME,
  WEIGHTS_NAME,
} from "../manifest.ts";
import type { ModelSource } from "../source.ts";
import { buildDecoderGraph, type StoredDecoder } from "./decoder.ts";
import { storeDecoder } from "./store.ts";
import { keptPrecision, type MatrixPrecision, nativePrecision, WeightWriter } from "./weights.ts";

export const COMPILER = "weir-compiler 3";

export interface CompileOptions {
  readonly name: string;
  /** Undefined: a GGUF keeps its own bits and block (K-quants, which cannot, become q8), anything else becomes q8. */
  readonly quant: WeightPrecision | undefined;
  readonly block: 32 | 64 | 128 | undefined;
  readonly kv: "auto" | KvPrecision;
  /** An empty folder; what is in it after a failure is the caller's to remove. */
  readonly outDir: string;
  /** Seconds since 1970. */
  readonly createdAt: number;
  /** Where the source came from, for the manifest: `ORG/NAME@commit`. */
  readonly origin?: string;
  readonly onProgress: (done: number, total: number, what: string) => void;
  /** Runs the compiled graph over the calibration text. Without it the cache stays f32. */
  readonly measureCache?: CacheMeasurer;
  readonly accuracyLevel?: 0 | 4;
}

/** What a run of the graph over texts shows: the largest magnitudes in each layer's cache, and the loss on held-out text. */
export interface CacheMeasurement {
  /** Mean negative log-likelihood on text that the magnitudes were not taken from, nats a token. */
  readonly nll: number;
  readonly tokens: number;
  /** One a layer; only where the cache is f32. */
  readonly largest: readonly CacheScale[];
}
export type CacheMeasurer = (folder: string, kv: KvPrecision) => Promise<CacheMeasurement>;

/** A loss below this many nats a token is taken for the quarter of memory and the speed that an int8 cache gives. */
const INT8_LOSS_MAX = 0.01;

export async function compileModel(original: ModelSource, options: CompileOptions): Promise<Manifest> {
  const { source, spec } = padHeads(original, describeModel(original));
  const total = [...source.store.tensors.values()].reduce((sum, tensor) => sum + tensor.byteLength, 0);
  let written = 0;
  const writer = new WeightWriter(source, join(options.outDir, WEIGHTS_NAME), (bytes) => {
    written += bytes;
    options.onProgress(Math.min(written, total), total, "weights");
  });
  let stored: StoredDecoder;
  try {
    stored = storeDecoder(spec, writer, (name) => precisionOf(source, options, name));
  } finally {
    writer.close();
  }
  writeFileSync(join(options.outDir, LAYOUT_NAME), JSON.stringify(layoutOf(stored)));
  writeFileSync(join(options.outDir, TOKENIZER_NAME), JSON.stringify(source.tokenizer.tokenizerJson));
  writeFileSync(
    join(options.outDir, TOKENIZER_CONFIG_NAME),
    JSON.stringify(source.tokenizer.tokenizerConfig),
  );
  writeGraph(stored, options, undefined);
  const draft = await describe(source, spec, options, stored, writer);
  return finish(await chooseCache(draft, stored, options), options.outDir);
}

function precisionOf(source: ModelSource, options: CompileOptions, tensor: string): MatrixPrecision {
  const type = source.store.tensors.get(tensor)?.type ?? "F32";
  const native = nativePrecision(type);
  switch (options.quant) {
    case "f32":
      return { bits: 32, block: 0 };
    case "q4":
      return { bits: 4, block: options.block ?? (native.bits === 4 ? native.block : 32) };
    case "q8":
      return { bits: 8, block: options.block ?? 32 };
    case undefined:
      return source.kind === "gguf"
        ? keptPrecision(type, options.block)
        : { bits: 8, block: options.block ?? 32 };
  }
}

function writeGraph(
  stored: StoredDecoder,
  options: CompileOptions,
  kvScales: readonly CacheScale[] | undefined,
): void {
  const names =
    kvScales === undefined ? [GRAPH_NAME, SHARED_GRAPH_NAME] : [INT8_GRAPH_NAME, STAGED_INT8_GRAPH_NAME];
  for (const [index, name] of names.entries()) {
    const graph = buildDecoderGraph(stored, {
      dataFile: WEIGHTS_NAME,
      kvScales,
      accuracyLevel: options.accuracyLevel ?? 4,
      shared: index === 1,
      producerVersion: COMPILER,
    });
    writeFileSync(join(options.outDir, name), graph);
  }
}

async function describe(
  source: ModelSource,
  spec: DecoderSpec,
  options: CompileOptions,
  stored: StoredDecoder,
  { lossless, requantised }: Pick<WeightWriter, "lossless" | "requantised">,
): Promise<Manifest> {
  const { down } = stored.layers[0] ?? { down: stored.head };
  const quantised = down.kind === "blocks" ? down : undefined;
  const template = source.tokenizer.tokenizerConfig["chat_template"];
  const draft: Manifest = {
    weir: 1,
    name: options.name,
    architecture: source.architecture,
    geometry: spec.geometry,
    contextLength: spec.contextLength,
    precision: {
      weights: quantised === undefined ? "f32" : quantised.bits === 4 ? "q4" : "q8",
      block: (quantised?.block ?? 0) as 0 | 32 | 64 | 128,
      lossless,
      ...(requantised.length === 0 ? {} : { requantised }),
      kv: "f32",
      kvScales: [],
    },
    tokens: { bos: source.bosToken ?? null, end: [...source.endTokens] },
    source: { kind: source.kind, files: await digestFiles(source.files) },
    hasChatTemplate: template !== undefined && template !== null,
    createdAt: options.createdAt,
    compiler: COMPILER,
    files: [],
  };
  return {
    ...draft,
    ...(source.licence === undefined ? {} : { licence: source.licence }),
    source: { ...draft.source, ...(options.origin === undefined ? {} : { origin: options.origin }) },
  };
}

/** Writes the int8 graph, measures its loss against the f32 cache, and keeps what was asked for or what is justified. */
async function chooseCache(
  draft: Manifest,
  stored: StoredDecoder,
  options: CompileOptions,
): Promise<Manifest> {
  // --quant f32 asks for the model as it is: its cache stays f32 too.
  const wanted = options.quant === "f32" && options.kv === "auto" ? "f32" : options.kv;
  if (wanted === "f32" || options.measureCache === undefined) return draft;
  writeManifest(draft, options.outDir);
  options.onProgress(0, 2, "calibrating the cache");
  const exact = await options.measureCache(options.outDir, "f32");
  const kvScales = exact.largest.map(({ key, value }) => ({ key: scaleOf(key), value: scaleOf(value) }));
  writeGraph(stored, options, kvScales);
  options.onProgress(1, 2, "calibrating the cache");
  const rounded = await options.measureCache(options.outDir, "int8");
  options.onProgress(2, 2, "calibrating the cache");
  const small = rounded.nll - exact.nll <= INT8_LOSS_MAX;
  const kv: KvPrecision = wanted === "int8" || small ? "int8" : "f32";
  const nll = { f32: exact.nll, int8: rounded.nll, tokens: exact.tokens };
  return { ...draft, precision: { ...draft.precision, kv, kvScales, nll } };
}

const scaleOf = (largest: number): number => Math.fround(Math.max(largest, 1e-6) / 127);

async function finish(draft: Manifest, folder: string): Promise<Manifest> {
  const names = [
    GRAPH_NAME,
    SHARED_GRAPH_NAME,
    WEIGHTS_NAME,
    LAYOUT_NAME,
    TOKENIZER_NAME,
    TOKENIZER_CONFIG_NAME,
  ];
  if (draft.precision.kvScales.length > 0) names.push(INT8_GRAPH_NAME, STAGED_INT8_GRAPH_NAME);
  const manifest = Manifest.parse({
    ...draft,
    files: await digestFiles(names.map((name) => join(folder, name))),
  });
  writeManifest(manifest, folder);
  return manifest;
}

function writeManifest(manifest: Manifest, folder: string): void {
  writeFileSync(join(folder, MANIFEST_NAME), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** What stands where in the data file: for `verify`, for digests of the dequantised weights, and for other devices. */
const layoutOf = (stored: StoredDecoder): unknown => {
  const { spec: _spec, ...places } = stored;
  return places;
};

async function digestFiles(paths: readonly string[]): Promise<Manifest["files"]> {
  const digests: Manifest["files"] = [];
  for (const path of paths) {
    digests.push({ name: basename(path), bytes: statSync(path).size, sha256: await sha256Of(path) });
  }
  return digests;
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const part of createReadStream(path, { highWaterMark: 1 << 20 }))
    hash.update(part as Uint8Array);
  return hash.digest("hex");
}
