/** Configurations -> decoder descriptions: what is understood, and what is refused by name. */
import { describe, expect, test } from "vitest";
import { describeModel } from "../../../models/architectures/index.ts";
import { padHeads } from "../../../models/architectures/pad-heads.ts";
import { ModelFileError, type ModelSource, type TensorInfo } from "../../../models/source.ts";

const CONFIG = {
  model_type: "llama",
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 96,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
};

function source(config: Record<string, unknown>, architecture = "llama"): ModelSource {
  const tensors = new Map<string, TensorInfo>();
  const add = (name: string, shape: number[]): void => {
    tensors.set(name, { name, shape, type: "F32", byteLength: 4 * shape.reduce((a, b) => a * b, 1) });
  };
  add("model.embed_tokens.weight", [300, 64]);
  for (const part of ["q", "k", "v", "o"])
    add(`model.layers.0.self_attn.${part}_proj.weight`, [part === "q" || part === "o" ? 64 : 32, 64]);
  return {
    kind: "safetensors",
    path: "model",
    architecture,
    config,
    store: {
      tensors,
      read: (_name, _offset, length) => new Uint8Array(length),
      close: () => undefined,
    },
    tokenizer: { tokenizerJson: {}, tokenizerConfig: {} },
    bosToken: undefined,
    endTokens: [],
    licence: undefined,
    files: [],
  };
}

test("a Llama configuration gives its geometry, and the vocabulary is the embedding's", () => {
  const spec = describeModel(source(CONFIG));
  expect(spec.geometry).toEqual({ layers: 2, hidden: 64, heads: 4, kvHeads: 2, headDim: 16, vocabSize: 300 });
  expect(spec).toMatchObject({ intermediate: 96, contextLength: 256, attentionScale: 0.25, head: undefined });
  expect(spec.layer(1).qkvBias).toBeUndefined();
});

test("Qwen2 has biases, Qwen3 norms on q and k", () => {
  expect(describeModel(source({ ...CONFIG, model_type: "qwen2" }, "qwen2")).layer(0).qkvBias?.k).toBe(
    "model.layers.0.self_attn.k_proj.bias",
  );
  expect(describeModel(source({ ...CONFIG, model_type: "qwen3" }, "qwen3")).layer(0).qkNorm?.q).toBe(
    "model.layers.0.self_attn.q_norm.weight",
  );
});

describe("refused by the name of the key", () => {
  test.each([
    ["architecture", CONFIG, "gpt_neox"],
    ["num_hidden_layers", { ...CONFIG, num_hidden_layers: 1e9 }, "llama"],
    ["num_hidden_layers", { ...CONFIG, num_hidden_layers: "2" }, "llama"],
    ["hidden_size", { ...CONFIG, hidden_size: undefined }, "llama"],
    ["attention heads", { ...CONFIG, num_key_value_heads: 3 }, "llama"],
    ["hidden_act", { ...CONFIG, hidden_act: "gelu" }, "llama"],
    ["attention_bias", { ...CONFIG, attention_bias: true }, "llama"],
    ["rope_scaling.rope_type", { ...CONFIG, rope_scaling: { rope_type: "yarn", factor: 4 } }, "llama"],
    ["rope_scaling.factor", { ...CONFIG, rope_scaling: { rope_type: "linear", factor: -1 } }, "llama"],
    ["rope_theta", { ...CONFIG, rope_theta: 0 }, "llama"],
    [
      "max_position_embeddings: expected a whole number from 2",
      { ...CONFIG, max_position_embeddings: 1 },
      "llama",
    ],
    ["sliding_window", { ...CONFIG, sliding_window: 1 }, "mistral"],
  ] as const)("%s", (field, config, architecture) => {
    const attempt = (): unknown => describeModel(source(config, architecture));
    expect(attempt).toThrow(ModelFileError);
    expect(attempt).toThrow(field);
  });
});

describe("rotary scaling", () => {
  const frequencies = (scaling: Record<string, unknown> | undefined): number[] => [
    ...describeModel(
      source({ ...CONFIG, hidden_size: 64, head_dim: 64, ...(scaling && { rope_scaling: scaling }) }),
    ).rope.frequencies,
  ];
  const plain = frequencies(undefined);

  test("plain frequencies fall from 1 by the base", () => {
    expect(plain[0]).toBe(1);
    expect(plain[16]).toBeCloseTo(0.01, 12);
  });

  test("linear scaling divides all", () => {
    const scaled = frequencies({ type: "linear", factor: 4 });
    expect(scaled).toEqual(plain.map((frequency) => frequency / 4));
  });

  test("Llama 3's scaling leaves short wavelengths, divides long ones, and is between in between", () => {
    const scaling = {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    };
    const scaled = frequencies(scaling);
    for (const [index, frequency] of plain.entries()) {
      const wavelength = (2 * Math.PI) / frequency;
      if (wavelength < 8192 / 4) expect(scaled[index]).toBe(frequency);
      else if (wavelength > 8192) expect(scaled[index]).toBe(frequency / 8);
      else {
        expect(scaled[index]).toBeLessThan(frequency);
        expect(scaled[index]).toBeGreaterThan(frequency / 8);
      }
    }
    expect(scaled).toEqual([...scaled].sort((a, b) => b - a));
  });
});

test("heads of fewer than 16 dimensions are padded, and the scale stays that of the model", () => {
  const small = source({ ...CONFIG, num_attention_heads: 8, num_key_value_heads: 4, num_hidden_layers: 1 });
  const spec = describeModel(small);
  const padded = padHeads(small, spec);
  expect(padded.spec.geometry.headDim).toBe(16);
  expect(padded.spec.attentionScale).toBeCloseTo(1 / Math.sqrt(8), 12);
  expect(padded.source.store.tensors.get("model.layers.0.self_attn.q_proj.weight")?.shape).toEqual([128, 64]);
  expect(padded.source.store.tensors.get("model.layers.0.self_attn.o_proj.weight")?.shape).toEqual([64, 128]);
  expect(padHeads(source(CONFIG), describeModel(source(CONFIG))).spec.geometry.headDim).toBe(16);
});
