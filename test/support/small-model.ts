/** A model folder as the compiler leaves it, small enough to make in a test: right in form, its bytes mean nothing. */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MANIFEST_NAME, type Manifest } from "../../models/manifest.ts";
import type { ModelSource } from "../../models/source.ts";

const digest = (text: string): string => createHash("sha256").update(text).digest("hex");

export function writeSmallModel(folder: string, name: string, changes: Partial<Manifest> = {}): Manifest {
  mkdirSync(folder, { recursive: true });
  const files = { "model.onnx": `graph of ${name}`, "model.onnx.data": "weights".repeat(1000) };
  for (const [file, content] of Object.entries(files)) writeFileSync(join(folder, file), content);
  const manifest: Manifest = {
    weir: 1,
    name,
    architecture: "llama",
    geometry: { layers: 1, hidden: 8, heads: 2, kvHeads: 1, headDim: 4, vocabSize: 32 },
    contextLength: 64,
    precision: { weights: "q8", block: 32, lossless: false, kv: "f32", kvScales: [] },
    tokens: { bos: 1, end: [2] },
    source: { kind: "gguf", files: [{ name: "small.gguf", bytes: 5, sha256: digest("small") }] },
    hasChatTemplate: false,
    createdAt: 1_700_000_000,
    compiler: "test",
    files: Object.entries(files).map(([file, content]) => ({
      name: file,
      bytes: Buffer.byteLength(content),
      sha256: digest(content),
    })),
    ...changes,
  };
  writeFileSync(join(folder, MANIFEST_NAME), JSON.stringify(manifest));
  return manifest;
}

export function smallSource(
  path = "small.gguf",
  changes: Partial<ModelSource> = {},
): ModelSource & { closed: number } {
  const source = {
    kind: "gguf" as const,
    path,
    architecture: "llama",
    config: {},
    store: {
      tensors: new Map([["w", { name: "w", shape: [4, 8], type: "F32" as const, byteLength: 128 }]]),
      read: () => new Uint8Array(0),
      close: () => {
        source.closed += 1;
      },
    },
    tokenizer: { tokenizerJson: {}, tokenizerConfig: {} },
    bosToken: 1,
    endTokens: [2],
    licence: undefined,
    files: [path],
    closed: 0,
    ...changes,
  };
  return source;
}
