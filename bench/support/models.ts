/** The model of a bench: a GGUF of random weights, kept between runs, and what weir compiles from it, made anew each time. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { KvPrecision } from "../../engine/core/model.ts";
import type { LaneModel } from "../../engine/worker/protocol.ts";
import type { Manifest } from "../../models/manifest.ts";
import { openModelSource } from "../../models/open.ts";
import type { TensorType } from "../../models/source.ts";
import { makeRandomModel, type ShapeName } from "../../scripts/make-random-model.ts";
import { compileCalibrated, graphPath } from "../../server/model-tools.ts";
import { digestWeights, type WeightDigests } from "./weights-digest.ts";

export interface ModelChoice {
  readonly shape: ShapeName;
  readonly type: TensorType;
  /** Undefined: as many as the shape has. */
  readonly layers: number | undefined;
  readonly cache: string;
  readonly threads: number;
}

export interface BenchModel {
  readonly gguf: string;
  /** Holds the compiled model alone. */
  readonly folder: string;
  readonly manifest: Manifest;
  readonly compileSeconds: number;
  readonly digests: WeightDigests;
  lane(kv: KvPrecision): LaneModel;
  /** Removes the compiled model; the GGUF stays in the cache. */
  remove(): void;
}

/** `parent`: where the compiled model's folder `name` is made; a fresh one in the cache unless given. */
export async function prepareModel(
  choice: ModelChoice,
  name = "bench",
  parent = freshFolder(choice.cache),
): Promise<BenchModel> {
  const gguf = randomGguf(choice);
  const folder = join(parent, name);
  mkdirSync(folder, { recursive: true });
  const start = performance.now();
  const source = openModelSource(gguf);
  try {
    const manifest = await compileCalibrated(
      source,
      {
        ...{ name, quant: undefined, block: undefined, kv: "auto", outDir: folder, createdAt: 0 },
        onProgress: () => undefined,
      },
      choice.threads,
    );
    const compileSeconds = (performance.now() - start) / 1000;
    const digests = digestWeights(source, folder);
    if (digests.compiled !== digests.source)
      throw new Error(`the compiled weights are not those of ${gguf}: a comparison would mean nothing`);
    return {
      ...{ gguf, folder, manifest, compileSeconds, digests },
      lane: (kv) => ({
        graphPath: graphPath(folder, kv),
        geometry: manifest.geometry,
        kv,
        kvScales: manifest.precision.kvScales,
      }),
      remove: () => rmSync(parent, { recursive: true, force: true }),
    };
  } finally {
    source.store.close();
  }
}

export function freshFolder(cache: string): string {
  mkdirSync(cache, { recursive: true });
  return mkdtempSync(join(cache, "compiled-"));
}

/** Named after its options and the scripts that write it, so that a changed script makes a new one. */
function randomGguf({ shape, type, layers, cache }: ModelChoice): string {
  const scripts = ["make-random-model.ts", "random-vocabulary.ts"].map((name) =>
    readFileSync(join(import.meta.dirname, "..", "..", "scripts", name)),
  );
  const version = createHash("sha256").update(Buffer.concat(scripts)).digest("hex").slice(0, 8);
  const depth = layers === undefined ? "" : `-${layers}layers`;
  const path = join(cache, `${shape}-${type}${depth}-${version}.gguf`);
  if (existsSync(path)) return path;
  mkdirSync(cache, { recursive: true });
  const unfinished = `${path}.${process.pid}.part`;
  makeRandomModel({ shape, type, out: unfinished, ...(layers === undefined ? {} : { layers }) });
  renameSync(unfinished, path);
  return path;
}
