/** What stands beside an exported graph: which configuration counts, where it is looked for, which graph is meant. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openExported } from "../../../models/exported/open.ts";
import { openImport } from "../../../models/open.ts";
import { decoderGraph } from "../../support/decoder-graph.ts";
import { modelFolder } from "../../support/gguf-folder.ts";

const folder = modelFolder();
let made = 0;

const config = {
  model_type: "llama",
  max_position_embeddings: 2048,
  hidden_size: 64,
  vocab_size: 50,
  eos_token_id: 1,
};
const genai = {
  model: {
    type: "llama",
    context_length: 24,
    vocab_size: 50,
    eos_token_id: [0, 1],
    decoder: { filename: "model.onnx" },
  },
};
const tokenizer = { model: { type: "BPE", vocab: { a: 0, b: 1 }, merges: [] }, added_tokens: [] };
const right = decoderGraph({});

/** A directory with these files beside tokenizer.json; objects become JSON. */
function directory(files: Readonly<Record<string, Uint8Array | object>>): string {
  made += 1;
  const path = join(folder.path, String(made));
  for (const [name, content] of Object.entries({ "tokenizer.json": tokenizer, ...files })) {
    mkdirSync(join(path, name, ".."), { recursive: true });
    writeFileSync(join(path, name), content instanceof Uint8Array ? content : JSON.stringify(content));
  }
  return path;
}

describe("configuration", () => {
  test("comes from config.json, bounded by the graph's rotary tables", () => {
    expect(openExported(directory({ "model.onnx": right, "config.json": config }))).toMatchObject({
      kind: "onnx",
      architecture: "llama",
      geometry: { layers: 2, hidden: 64, heads: 4, kvHeads: 2, headDim: 16, vocabSize: 50 },
      contextLength: 32,
      endTokens: [1],
    });
  });

  test("comes from genai_config.json where that says something", () => {
    const path = directory({ "model.onnx": right, "config.json": config, "genai_config.json": genai });
    expect(openExported(path)).toMatchObject({ contextLength: 24, endTokens: [0, 1] });
    const alone = openExported(directory({ "model.onnx": right, "genai_config.json": genai }));
    expect(alone).toMatchObject({ architecture: "llama", contextLength: 24, geometry: { hidden: 64 } });
  });

  test("fills in the vocabulary's size where the graph leaves it open", () => {
    const open = decoderGraph({ outputs: { logits: ["float32", ["batch", "sequence", "vocabulary"]] } });
    const found = openExported(directory({ "model.onnx": open, "config.json": config }));
    expect(found.geometry.vocabSize).toBe(50);
    const { vocab_size: _, ...without } = config;
    const path = directory({ "model.onnx": open, "config.json": without });
    expect(() => openExported(path)).toThrow(/config\.json: vocab_size: expected a whole number/);
  });

  test.each([
    [{ ...config, model_type: "../x" }, /config\.json: model_type: must be a text such as llama/],
    [{ ...config, max_position_embeddings: undefined }, /config\.json: max_position_embeddings: expected/],
    [
      { ...config, max_position_embeddings: 1e12 },
      /max_position_embeddings: expected a whole number from 2 to \d+/,
    ],
    [{ ...config, max_position_embeddings: 1 }, /max_position_embeddings: expected a whole number from 2/],
    [{ ...config, eos_token_id: "</s>" }, /eos_token_id: must be a token id or a list of them/],
  ])("%j is refused", (wrong, says) => {
    expect(() => openExported(directory({ "model.onnx": right, "config.json": wrong }))).toThrow(says);
  });
});

describe("the graph that is meant", () => {
  test("may lie in the folder onnx, its tokenizer above it", () => {
    const path = directory({ "onnx/model_q4.onnx": right, "config.json": config });
    expect(openImport(path)).toMatchObject({ kind: "onnx", path: join(path, "onnx", "model_q4.onnx") });
    expect(openImport(join(path, "onnx", "model_q4.onnx"))).toMatchObject({ kind: "onnx" });
  });

  test("is the one that genai_config.json names", () => {
    const path = directory({ "model.onnx": right, "draft.onnx": right, "genai_config.json": genai });
    expect(openImport(path)).toMatchObject({ path: join(path, "model.onnx") });
  });

  test("must be named where there are several", () => {
    const path = directory({ "a.onnx": right, "onnx/b.onnx": right, "config.json": config });
    expect(() => openImport(path)).toThrow(
      /graph: there are several; import one of them by its path: a\.onnx, onnx\/b\.onnx/,
    );
  });

  test("is passed over where weights lie beside it that weir can compile", () => {
    const path = directory({
      "onnx/model.onnx": right,
      "config.json": config,
      "model.safetensors": new Uint8Array(8),
    });
    expect(() => openImport(path)).toThrow(/model\.safetensors/);
  });

  test("is not looked for in a directory without one", () => {
    expect(() => openImport(directory({ "config.json": config }))).toThrow(/model\.safetensors: is missing/);
    expect(() => openImport(join(folder.path, "nowhere"))).toThrow(/there is no such file or directory/);
    expect(() => openImport(join(folder.path, "nowhere.onnx"))).toThrow(/there is no such file or directory/);
  });
});
