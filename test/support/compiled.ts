/** Compiles a model into a temporary folder, the way that an import does, and removes it when the test file is done. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { KvPrecision } from "../../engine/core/model.ts";
import { measure } from "../../engine/worker/measure.ts";
import type { LaneModel } from "../../engine/worker/protocol.ts";
import { type CompileOptions, compileModel } from "../../models/compile/compile.ts";
import { GRAPH_NAME, INT8_GRAPH_NAME, MANIFEST_NAME, Manifest } from "../../models/manifest.ts";
import { openModelSource } from "../../models/open.ts";

export interface CompiledModel {
  readonly folder: string;
  readonly manifest: Manifest;
  /** What a lane loads; the manifest's own choice of cache unless another is asked for. */
  lane(kv?: KvPrecision): LaneModel;
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "weir-test-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** `calibration`: token ids for an int8 cache; without them the cache stays f32. */
export async function compileForTest(
  path: string,
  options: Partial<Pick<CompileOptions, "quant" | "block" | "kv" | "accuracyLevel">> & {
    readonly calibration?: readonly (readonly number[])[];
  } = {},
): Promise<CompiledModel> {
  const folder = temporaryFolder();
  const source = openModelSource(path);
  const { calibration } = options;
  const graph = (kv: KvPrecision): string => join(folder, kv === "int8" ? INT8_GRAPH_NAME : GRAPH_NAME);
  try {
    const manifest = await compileModel(source, {
      name: "test",
      quant: options.quant,
      block: options.block,
      kv: options.kv ?? "auto",
      outDir: folder,
      createdAt: 0,
      onProgress: () => undefined,
      ...(options.accuracyLevel === undefined ? {} : { accuracyLevel: options.accuracyLevel }),
      ...(calibration === undefined
        ? {}
        : {
            measureCache: async (where, kv) => {
              const { geometry } = Manifest.parse(
                JSON.parse(readFileSync(join(where, MANIFEST_NAME), "utf8")),
              );
              return measure({
                model: { graphPath: graph(kv), geometry, kv },
                texts: calibration,
                threads: 2,
              });
            },
          }),
    });
    const lane = (kv: KvPrecision = manifest.precision.kv): LaneModel => ({
      graphPath: graph(kv),
      geometry: manifest.geometry,
      kv,
      kvScales: manifest.precision.kvScales,
    });
    return { folder, manifest, lane };
  } finally {
    source.store.close();
  }
}
