/**
 * What Llama and its descendants share: pre-norm blocks of grouped-query attention and a SwiGLU MLP, RMSNorm, rotary
 * positions. Each family's own file states where it differs.
 */
import type { ModelSource } from "../source.ts";
import { ModelFileError } from "../source.ts";
import { ConfigReader } from "./config.ts";
import { ggufFrequencies, scaledFrequencies } from "./rope.ts";
import type { DecoderSpec, LayerTensors } from "./spec.ts";

/** Bounds no published model of these families comes near; they keep a hostile file from asking for absurd memory. */
const LAYERS_MAX = 512;
const WIDTH_MAX = 1 << 17;
const VOCABULARY_MAX = 1 << 21;
const CONTEXT_MAX = 1 << 20;

export interface FamilyTraits {
  readonly qkvBias: boolean;
  readonly qkNorm: boolean;
  /** GGUF files of this family store q and k for rotary pairs (0,1), (2,3), ...; config.json's never do. */
  readonly ggufInterleaved: boolean;
}

export function describeLlamaLike(source: ModelSource, traits: FamilyTraits): DecoderSpec {
  const spec = source.kind === "gguf" ? fromGguf(source, traits) : fromConfig(source, traits);
  const { heads, kvHeads } = spec.geometry;
  if (heads % kvHeads !== 0) {
    throw new ModelFileError(
      source.path,
      "attention heads",
      `${heads} query heads do not share ${kvHeads} KV heads evenly`,
    );
  }
  return spec;
}

function fromGguf(source: ModelSource, traits: FamilyTraits): DecoderSpec {
  const prefix = source.architecture;
  const reader = new ConfigReader(source);
  const hidden = reader.count(`${prefix}.embedding_length`, WIDTH_MAX);
  const heads = reader.count(`${prefix}.attention.head_count`, WIDTH_MAX);
  const headDim = reader.count(`${prefix}.attention.key_length`, WIDTH_MAX, hidden / heads);
  const dims = reader.count(`${prefix}.rope.dimension_count`, headDim, headDim);
  const base = reader.positive(`${prefix}.rope.freq_base`, 10000);
  if (reader.has(`${prefix}.expert_count`)) reader.expect(`${prefix}.expert_count`, [0]);
  return {
    geometry: {
      layers: reader.count(`${prefix}.block_count`, LAYERS_MAX),
      hidden,
      heads,
      kvHeads: reader.count(`${prefix}.attention.head_count_kv`, heads, heads),
      headDim,
      vocabSize: rowsOf(source, "token_embd.weight"),
    },
    intermediate: reader.count(`${prefix}.feed_forward_length`, WIDTH_MAX),
    contextLength: reader.count(`${prefix}.context_length`, CONTEXT_MAX),
    attentionScale: 1 / Math.sqrt(headDim),
    normEpsilon: reader.positive(`${prefix}.attention.layer_norm_rms_epsilon`, 1e-5),
    rope: {
      dims,
      frequencies: ggufFrequencies(source, prefix, base, dims),
      interleaved: traits.ggufInterleaved,
    },
    embedding: "token_embd.weight",
    finalNorm: "output_norm.weight",
    head: source.store.tensors.has("output.weight") ? "output.weight" : undefined,
    layer: (index) => layerNames((part) => `blk.${index}.${part}`, GGUF_PARTS, traits),
  };
}

function fromConfig(source: ModelSource, traits: FamilyTraits): DecoderSpec {
  const reader = new ConfigReader(source);
  reader.expect("hidden_act", ["silu"]);
  reader.expect("mlp_bias", [false]);
  reader.expect("use_sliding_window", [false]);
  reader.expect("partial_rotary_factor", [1]);
  if (!traits.qkvBias) reader.expect("attention_bias", [false]);
  const hidden = reader.count("hidden_size", WIDTH_MAX);
  const heads = reader.count("num_attention_heads", WIDTH_MAX);
  const headDim = reader.count("head_dim", WIDTH_MAX, hidden / heads);
  const base = reader.positive("rope_theta", 10000);
  const tied = source.config["tie_word_embeddings"] === true || !source.store.tensors.has("lm_head.weight");
  return {
    geometry: {
      layers: reader.count("num_hidden_layers", LAYERS_MAX),
      hidden,
      heads,
      kvHeads: reader.count("num_key_value_heads", heads, heads),
      headDim,
      vocabSize: rowsOf(source, "model.embed_tokens.weight"),
    },
    intermediate: reader.count("intermediate_size", WIDTH_MAX),
    contextLength: contextOf(reader, source),
    attentionScale: 1 / Math.sqrt(headDim),
    normEpsilon: reader.positive("rms_norm_eps", 1e-6),
    rope: { dims: headDim, frequencies: scaledFrequencies(source, base, headDim), interleaved: false },
    embedding: "model.embed_tokens.weight",
    finalNorm: "model.norm.weight",
    head: tied ? undefined : "lm_head.weight",
    layer: (index) => layerNames((part) => `model.layers.${index}.${part}`, HF_PARTS, traits),
  };
}

/** Attention looks back over everything here, so a model with a sliding window is only exact up to that window. */
function contextOf(reader: ConfigReader, source: ModelSource): number {
  const full = reader.count("max_position_embeddings", CONTEXT_MAX, 2048);
  const window =
    source.config["use_sliding_window"] === undefined ? source.config["sliding_window"] : undefined;
  if (typeof window !== "number" || window <= 0) return full;
  if (window < 2) reader.fail("sliding_window", `expected at least 2 tokens, found ${window}`);
  return Math.min(full, window);
}

const GGUF_PARTS = {
  attentionNorm: "attn_norm.weight",
  q: "attn_q",
  k: "attn_k",
  v: "attn_v",
  qNorm: "attn_q_norm.weight",
  kNorm: "attn_k_norm.weight",
  o: "attn_output.weight",
  mlpNorm: "ffn_norm.weight",
  gate: "ffn_gate.weight",
  up: "ffn_up.weight",
  down: "ffn_down.weight",
};
const HF_PARTS: typeof GGUF_PARTS = {
  attentionNorm: "input_layernorm.weight",
  q: "self_attn.q_proj",
  k: "self_attn.k_proj",
  v: "self_attn.v_proj",
  qNorm: "self_attn.q_norm.weight",
  kNorm: "self_attn.k_norm.weight",
  o: "self_attn.o_proj.weight",
  mlpNorm: "post_attention_layernorm.weight",
  gate: "mlp.gate_proj.weight",
  up: "mlp.up_proj.weight",
  down: "mlp.down_proj.weight",
};

function layerNames(
  name: (part: string) => string,
  parts: typeof GGUF_PARTS,
  traits: FamilyTraits,
): LayerTensors {
  const bias = (part: string): string => name(`${part}.bias`);
  return {
    attentionNorm: name(parts.attentionNorm),
    q: name(`${parts.q}.weight`),
    k: name(`${parts.k}.weight`),
    v: name(`${parts.v}.weight`),
    qkvBias: traits.qkvBias ? { q: bias(parts.q), k: bias(parts.k), v: bias(parts.v) } : undefined,
    qkNorm: traits.qkNorm ? { q: name(parts.qNorm), k: name(parts.kNorm) } : undefined,
    o: name(parts.o),
    mlpNorm: name(parts.mlpNorm),
    gate: name(parts.gate),
    up: name(parts.up),
    down: name(parts.down),
  };
}

/** The embedding knows the vocabulary's size best: files often have more rows than the tokenizer has tokens. */
function rowsOf(source: ModelSource, name: string): number {
  const rows = source.store.tensors.get(name)?.shape[0];
  if (rows === undefined) throw new ModelFileError(source.path, name, "this tensor is missing");
  if (rows < 1 || rows > VOCABULARY_MAX)
    throw new ModelFileError(source.path, name, `${rows} rows are out of bounds`);
  return rows;
}
