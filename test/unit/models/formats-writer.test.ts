/** Random models: the same bytes for the same options, and readable as what they claim to be. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { dequantise } from "../../../models/formats/blocks.ts";
import { openGguf } from "../../../models/formats/gguf.ts";
import { ggufHeader, writeGguf } from "../../../models/formats/gguf-writer.ts";
import { openModelSource } from "../../../models/open.ts";
import { loadTokenizer } from "../../../models/tokenizer/load.ts";
import { makeRandomModel, type RandomModelOptions } from "../../../scripts/make-random-model.ts";
import { modelFolder } from "../../support/gguf-folder.ts";

const folder = modelFolder();
const make = (options: Omit<RandomModelOptions, "out">): string => {
  const out = join(folder.path, `${Object.values(options).join("-")}.gguf`);
  makeRandomModel({ ...options, out });
  return out;
};
const digest = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

describe("a random model", () => {
  test("has the same bytes for the same seed, on any machine, and others for another", () => {
    const first = digest(make({ shape: "tiny-llama", type: "Q4_0", layers: 1 }));
    expect(digest(make({ shape: "tiny-llama", type: "Q4_0", layers: 1 }))).toBe(first);
    expect(digest(make({ shape: "tiny-llama", type: "Q4_0", layers: 1, seed: 2 }))).not.toBe(first);
    expect(first).toBe("9253e035266c4340ada7bc9e1ce3bf36e60837d24ba1ab6a8862600cf0acbae7");
  });

  test("of more layers begins with the same ones", () => {
    const short = openGguf(make({ shape: "tiny-qwen3", type: "Q8_0", layers: 1 })).store;
    const long = openGguf(make({ shape: "tiny-qwen3", type: "Q8_0", layers: 2 })).store;
    for (const { name, byteLength } of short.tensors.values()) {
      expect(long.read(name, 0, byteLength)).toEqual(short.read(name, 0, byteLength));
    }
    expect(long.tensors.size).toBe(short.tensors.size + 11);
    short.close();
    long.close();
  });

  test.each([
    ["tiny-llama", 9],
    ["tiny-qwen2", 12],
    ["tiny-qwen3", 11],
  ] as const)("of shape %s has matrices in the chosen type and norms in F32", (shape, tensorsALayer) => {
    const source = openModelSource(make({ shape, type: "Q4_0", layers: 1 }));
    const { tensors } = source.store;
    expect(tensors.size).toBe(2 + tensorsALayer);
    expect(tensors.get("token_embd.weight")).toMatchObject({ shape: [1024, 128], type: "Q4_0" });
    for (const { name, type } of tensors.values()) expect(type).toBe(/norm|bias/.test(name) ? "F32" : "Q4_0");
    source.store.close();
  });

  test("spreads its weights by the root of their inputs, in every type alike", () => {
    const spread = (type: "F32" | "Q8_0"): number => {
      const { store } = openGguf(make({ shape: "tiny-llama", type, layers: 1 }));
      const { byteLength = 0 } = store.tensors.get("blk.0.ffn_up.weight") ?? {};
      const values = dequantise(type, store.read("blk.0.ffn_up.weight", 0, byteLength));
      store.close();
      return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
    };
    expect(spread("F32") * Math.sqrt(128)).toBeCloseTo(1, 1);
    expect(spread("Q8_0") / spread("F32")).toBeCloseTo(1, 3);
  });

  test("of the usual mixture has Q6_K for the embedding, and for values and downward projections of some layers", () => {
    const { store } = openGguf(make({ shape: "tiny-llama-256", type: "Q4_K_M", layers: 6 }));
    store.close();
    const types = new Map([...store.tensors.values()].map(({ name, type }) => [name, type]));
    const layersOf = (part: string): unknown[] =>
      Array.from({ length: 6 }, (_, layer) => types.get(`blk.${layer}.${part}.weight`));
    expect(types.get("token_embd.weight")).toBe("Q6_K");
    const some = ["Q4_K", "Q4_K", "Q6_K", "Q4_K", "Q4_K", "Q6_K"];
    expect([layersOf("attn_v"), layersOf("ffn_down")]).toEqual([some, some]);
    for (const part of ["attn_q", "attn_k", "attn_output", "ffn_gate", "ffn_up"])
      expect(new Set(layersOf(part))).toEqual(new Set(["Q4_K"]));
  });

  test("whose rows are no whole blocks is refused before anything is written", () => {
    const out = join(folder.path, "narrow.gguf");
    expect(() => makeRandomModel({ shape: "tiny-llama", type: "Q5_K", out })).toThrow(
      "token_embd.weight: rows of 128 elements are not whole blocks of 256 (Q5_K)",
    );
    expect(existsSync(out)).toBe(false);
  });

  test("has a tokenizer that gives every text back, and ends where it says", () => {
    const source = openModelSource(make({ shape: "tiny-qwen2", type: "Q4_0", layers: 1 }));
    source.store.close();
    const tokenizer = loadTokenizer(source.tokenizer);
    const text = "The cat that sat — Grüße, 世界 😀\n\n  12345";
    const ids = tokenizer.encode(text, { addSpecial: true });
    expect(tokenizer.decode(ids)).toBe(text);
    expect(ids.length).toBeLessThan(Buffer.byteLength(text));
    expect(tokenizer.vocabSize).toBe(1024);
    expect(source.endTokens).toEqual([1021, 1023]);
    expect(tokenizer.renderChat([{ role: "user", content: "hi" }], { addGenerationPrompt: true })).toBe(
      "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  test("refuses a vocabulary that cannot hold the bytes", () => {
    expect(() => make({ shape: "tiny-llama", type: "F32", vocab: 100 })).toThrow(
      /a vocabulary needs at least/,
    );
  });
});

describe("the writer", () => {
  test("writes metadata that the reader gives back", () => {
    const path = folder.write(
      "metadata.gguf",
      ggufHeader(
        [
          ["n.u32", { type: "uint32", value: 7 }],
          ["n.i32", { type: "int32", value: -7 }],
          ["n.u64", { type: "uint64", value: 2 ** 40 }],
          ["n.f32", { type: "float32", value: 0.25 }],
          ["n.f64", { type: "float64", value: 0.1 }],
          ["b", { type: "bool", value: true }],
          ["t", { type: "string", value: "ü" }],
          ["ts", { type: "strings", value: ["a", ""] }],
          ["is", { type: "int32s", value: Int32Array.of(-1, 2) }],
          ["fs", { type: "float32s", value: Float32Array.of(-1, 2) }],
        ],
        [],
      ),
    );
    const { metadata, store } = openGguf(path);
    store.close();
    expect({ ...metadata }).toEqual({
      ...{
        "n.u32": 7,
        "n.i32": -7,
        "n.u64": 2 ** 40,
        "n.f32": 0.25,
        "n.f64": 0.1,
        b: true,
        t: "ü",
        ts: ["a", ""],
      },
      ...{ is: Int32Array.of(-1, 2), fs: Float32Array.of(-1, 2) },
    });
  });

  test("refuses a tensor that gives other than it planned", () => {
    const path = join(folder.path, "short.gguf");
    const pieces = () => [new Float32Array(3)];
    expect(() => writeGguf(path, [], [{ name: "w", shape: [4], type: "F32", pieces }])).toThrow(
      "w: 12 bytes came, 16 were planned",
    );
  });
});
