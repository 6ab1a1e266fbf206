/**
 * Exports a GGUF of llama's or qwen2's family to a directory as ORT GenAI's builder leaves it (model.onnx, model.onnx.data,
 * genai_config.json) or as Transformers.js wants it (onnx/model*.onnx, onnx/model*.onnx_data, config.json), with its
 * tokenizer. Both load where such directories load.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeModel } from "../../models/architectures/index.ts";
import type { DecoderSpec } from "../../models/architectures/spec.ts";
import { storeDecoder } from "../../models/compile/store.ts";
import { nativePrecision, WeightWriter } from "../../models/compile/weights.ts";
import { openModelSource } from "../../models/open.ts";
import type { ModelSource } from "../../models/source.ts";
import { ExportedGraph, type ExportStyle } from "./exported-graph.ts";

export interface ExportOptions extends ExportStyle {
  /** Its weights keep their precision. */
  readonly gguf: string;
  /** Is made. */
  readonly folder: string;
  /** Of the graph; `model.onnx` unless Transformers.js is to find it by its dtype, as in `model_q4.onnx`. */
  readonly graphName?: string;
}

/** Resolves to the graph's path. */
export function exportModel(options: ExportOptions): string {
  const { gguf, folder, style, graphName = "model.onnx" } = options;
  const graphFolder = style === "genai" ? folder : join(folder, "onnx");
  const dataName = `${graphName}${style === "genai" ? ".data" : "_data"}`;
  mkdirSync(graphFolder, { recursive: true });
  const source = openModelSource(gguf);
  try {
    const spec = describeModel(source);
    const writer = new WeightWriter(source, join(graphFolder, dataName), () => undefined);
    const precision = (name: string) => nativePrecision(writer.info(name).type);
    const stored = storeDecoder(spec, writer, precision);
    writer.close();
    writeFileSync(join(graphFolder, graphName), new ExportedGraph(stored, dataName, options).build());
    const configs =
      style === "genai" ? genaiConfigs(source, spec, graphName) : transformersConfigs(source, spec);
    const files = { ...configs, "tokenizer.json": source.tokenizer.tokenizerJson };
    for (const [name, content] of Object.entries(files))
      writeFileSync(join(folder, name), JSON.stringify(content));
    return join(graphFolder, graphName);
  } finally {
    source.store.close();
  }
}

function genaiConfigs(
  source: ModelSource,
  { geometry, contextLength }: DecoderSpec,
  graphName: string,
): object {
  const names = (prefix: string) => ({
    [`${prefix}_key_names`]: prefix === "past" ? "past_key_values.%d.key" : "present.%d.key",
    [`${prefix}_value_names`]: prefix === "past" ? "past_key_values.%d.value" : "present.%d.value",
  });
  return {
    "genai_config.json": {
      model: {
        bos_token_id: source.bosToken ?? null,
        context_length: contextLength,
        decoder: {
          session_options: { log_id: "onnxruntime-genai", provider_options: [] },
          filename: graphName,
          head_size: geometry.headDim,
          hidden_size: geometry.hidden,
          inputs: { input_ids: "input_ids", attention_mask: "attention_mask", ...names("past") },
          outputs: { logits: "logits", ...names("present") },
          num_attention_heads: geometry.heads,
          num_hidden_layers: geometry.layers,
          num_key_value_heads: geometry.kvHeads,
        },
        eos_token_id: source.endTokens,
        type: source.architecture,
        vocab_size: geometry.vocabSize,
      },
      search: { past_present_share_buffer: true },
    },
    "tokenizer_config.json": source.tokenizer.tokenizerConfig,
  };
}

const CLASSES: Readonly<Record<string, string>> = { llama: "LlamaForCausalLM", qwen2: "Qwen2ForCausalLM" };

function transformersConfigs(source: ModelSource, { geometry, contextLength }: DecoderSpec): object {
  const ends = { bos_token_id: source.bosToken ?? null, eos_token_id: source.endTokens };
  return {
    "config.json": {
      model_type: source.architecture,
      architectures: [CLASSES[source.architecture]],
      hidden_size: geometry.hidden,
      num_attention_heads: geometry.heads,
      num_hidden_layers: geometry.layers,
      num_key_value_heads: geometry.kvHeads,
      head_dim: geometry.headDim,
      vocab_size: geometry.vocabSize,
      max_position_embeddings: contextLength,
      ...ends,
      "transformers.js_config": { use_external_data_format: true },
    },
    "generation_config.json": { ...ends, do_sample: false },
    "tokenizer_config.json": { tokenizer_class: "PreTrainedTokenizer", ...source.tokenizer.tokenizerConfig },
  };
}
