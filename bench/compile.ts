/**
 * `npm run bench -- compile`: how long a model of 0.5 B parameters takes to compile, and how much memory that needs.
 * The compiler runs in a process of its own, so that its peak of resident memory is its own.
 */
import { fork } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileModel } from "../models/compile/compile.ts";
import { openModelSource } from "../models/open.ts";
import { makeRandomModel, type ShapeName } from "../scripts/make-random-model.ts";

export interface CompileResult {
  readonly shape: string;
  readonly source: string;
  readonly quant: string;
  readonly seconds: number;
  readonly peakResidentBytes: number;
  readonly largestTensorBytes: number;
  /** What the peak may be: 1.5 times the largest tensor plus 300 MB. */
  readonly boundBytes: number;
}

const SHAPE: ShapeName = "qwen2.5-0.5b";
const QUANTS = ["q4", "q8"] as const;

/** `cache`: a folder for the generated source, which is kept. */
export async function benchCompile(cache: string): Promise<readonly CompileResult[]> {
  mkdirSync(cache, { recursive: true });
  const source = join(cache, `${SHAPE}-BF16.gguf`);
  if (!existsSync(source)) makeRandomModel({ shape: SHAPE, type: "BF16", out: source });
  const results: CompileResult[] = [];
  for (const quant of QUANTS) results.push(await inChild(source, quant));
  return results;
}

function inChild(source: string, quant: (typeof QUANTS)[number]): Promise<CompileResult> {
  return new Promise((resolve, reject) => {
    const child = fork(import.meta.filename, ["--child", source, quant]);
    child.once("message", (message) => resolve(message as CompileResult));
    child.once("error", reject);
    child.once("exit", (code) =>
      reject(new Error(`the compiling process ended with ${code} before its result`)),
    );
  });
}

async function compileHere(path: string, quant: (typeof QUANTS)[number]): Promise<CompileResult> {
  const outDir = mkdtempSync(join(tmpdir(), "weir-bench-"));
  const source = openModelSource(path);
  try {
    const start = performance.now();
    const options = {
      name: "bench",
      quant,
      block: undefined,
      kv: "f32",
      outDir,
      createdAt: 0,
      onProgress: () => undefined,
    };
    await compileModel(source, { ...options, kv: "f32" });
    const seconds = (performance.now() - start) / 1000;
    const largestTensorBytes = Math.max(
      ...[...source.store.tensors.values()].map((tensor) => tensor.byteLength),
    );
    return {
      shape: SHAPE,
      source: "BF16",
      quant,
      seconds,
      peakResidentBytes: process.resourceUsage().maxRSS * 1024,
      largestTensorBytes,
      boundBytes: 1.5 * largestTensorBytes + 300e6,
    };
  } finally {
    source.store.close();
    rmSync(outDir, { recursive: true, force: true });
  }
}

const [mode, path, quant] = process.argv.slice(2);
if (mode === "--child" && path !== undefined && process.send !== undefined) {
  process.send(await compileHere(path, quant === "q8" ? "q8" : "q4"));
  process.disconnect();
}
