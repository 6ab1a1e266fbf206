/**
 * Where models, tokenizers and lanes meet: compiling with a calibrated cache, taking in exported graphs that have shown
 * that they run. Used by the composition root and by the commands that import models.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { KvPrecision } from "../engine/core/model.ts";
import { measureInWorker } from "../engine/lanes/worker-lane.ts";
import { CALIBRATION_TEXTS, HELD_OUT_TEXTS } from "../models/compile/calibration-text.ts";
import { type CacheMeasurement, type CompileOptions, compileModel } from "../models/compile/compile.ts";
import { type AdoptRequest, adoptExported } from "../models/exported/adopt.ts";
import type { ExportedSource } from "../models/exported/open.ts";
import { GRAPH_NAME, INT8_GRAPH_NAME, MANIFEST_NAME, Manifest } from "../models/manifest.ts";
import { ModelFileError, type ModelSource } from "../models/source.ts";
import { loadTokenizer } from "../models/tokenizer/load.ts";

/** Tokens of a calibration text at most: short texts already show the cache's range, and import stays quick. */
const CALIBRATION_TOKENS_MAX = 256;

export const graphPath = (folder: string, kv: KvPrecision): string =>
  join(folder, kv === "int8" ? INT8_GRAPH_NAME : GRAPH_NAME);

/** `compileModel` with the cache's scales and loss measured on this machine. */
export function compileCalibrated(
  source: ModelSource,
  options: Omit<CompileOptions, "measureCache">,
  threads: number,
): Promise<Manifest> {
  const tokenizer = loadTokenizer(source.tokenizer);
  const texts = CALIBRATION_TEXTS.map((text) =>
    tokenizer.encode(text, { addSpecial: true }).slice(0, CALIBRATION_TOKENS_MAX),
  ).filter((tokens) => tokens.length > 1);
  const calibrationTexts = texts.length - HELD_OUT_TEXTS;
  const measureCache = async (folder: string, kv: KvPrecision): Promise<CacheMeasurement> => {
    const { geometry } = Manifest.parse(JSON.parse(readFileSync(join(folder, MANIFEST_NAME), "utf8")));
    return measureInWorker({
      model: { graphPath: graphPath(folder, kv), geometry, kv },
      texts,
      calibrationTexts,
      threads,
    });
  };
  return compileModel(source, calibrationTexts < 1 ? options : { ...options, measureCache });
}

/** Of the text that an exported graph is tried with: more than one chunk, so that one goes on where another ended. */
const TRIAL_TOKENS = 48;

/**
 * `adoptExported`, and a run of the copy over some text. A graph may look right and still not load (an operator that the
 * runtime lacks); throws ModelFileError with the runtime's own words then.
 */
export async function adoptTried(
  source: ExportedSource,
  request: AdoptRequest,
  threads: number,
): Promise<Manifest> {
  const tokenizer = loadTokenizer(source.tokenizer);
  const text = tokenizer.encode(CALIBRATION_TEXTS.join("\n"), { addSpecial: true }).slice(0, TRIAL_TOKENS);
  const manifest = await adoptExported(source, request);
  if (text.length < 2) return manifest;
  const { geometry, graph, precision } = manifest;
  const model = {
    graphPath: graphPath(request.outDir, precision.kv),
    layout: graph,
    geometry,
    kv: precision.kv,
  };
  try {
    const { nll } = await measureInWorker({ model, texts: [text], threads });
    if (Number.isFinite(nll)) return manifest;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ModelFileError(source.path, "graph", `ONNX Runtime does not run it: ${why}`);
  }
  throw new ModelFileError(source.path, "graph", "its logits for a plain text are no numbers");
}
