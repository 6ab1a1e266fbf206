/**
 * The model that comes with weir: its GGUF lies in the repository, and is compiled once under WEIR_HOME, in a folder
 * named after its digest and the compiler's version, so that a new version of either makes a new one.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { COMPILER } from "../models/compile/compile.ts";
import { MANIFEST_NAME } from "../models/manifest.ts";
import { openModelSource } from "../models/open.ts";
import type { Config } from "./config.ts";
import { compileCalibrated } from "./model-tools.ts";

export const RESIDENT_NAME = "weir-resident";

const SOURCE = fileURLToPath(new URL("../models/resident/weir-resident.gguf", import.meta.url));
/** Shown as the model's creation time: when its training script was written. Compiling it again changes nothing. */
const CREATED_AT = Date.UTC(2026, 10, 22) / 1000;

/** Resolves to the compiled model's folder. Several processes may try at once: the first to finish wins. */
export async function installResident(config: Config): Promise<{ readonly folder: string }> {
  const digest = createHash("sha256")
    .update(readFileSync(SOURCE))
    .update(COMPILER)
    .digest("hex")
    .slice(0, 16);
  const parent = join(config.home, "built-in");
  const folder = join(parent, `${RESIDENT_NAME}-${digest}`);
  if (existsSync(join(folder, MANIFEST_NAME))) return { folder };
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  const work = mkdtempSync(join(parent, ".compiling-"));
  const source = openModelSource(SOURCE);
  try {
    await compileCalibrated(
      source,
      {
        name: RESIDENT_NAME,
        quant: undefined,
        block: undefined,
        kv: "auto",
        outDir: work,
        createdAt: CREATED_AT,
        onProgress: () => undefined,
      },
      config.engine.threads,
    );
    rmSync(folder, { recursive: true, force: true });
    renameSync(work, folder);
  } catch (error) {
    // Another process may have put it there meanwhile, which is as good.
    if (!existsSync(join(folder, MANIFEST_NAME))) throw error;
  } finally {
    source.store.close();
    rmSync(work, { recursive: true, force: true });
  }
  return { folder };
}
