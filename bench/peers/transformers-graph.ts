/**
 * weir's compiled decoder with the inputs and outputs that Transformers.js expects of an exported model: input_ids,
 * attention_mask, past_key_values.N.key|value -> logits of the last position, present.N.key|value. The layers, their
 * operators and their weights are the very same; a few nodes in front make weir's inputs of the others.
 */
import { copyFileSync, linkSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { GraphBuilder } from "../../models/compile/onnx.ts";
import { GRAPH_NAME, type Manifest, WEIGHTS_NAME } from "../../models/manifest.ts";

/** Field numbers of onnx.proto. */
const MODEL_GRAPH = 7;
const GRAPH_NODE = 1;
const GRAPH_INITIALIZER = 5;
const GRAPH_INPUT = 11;
const INT32 = 6;

/** Writes a folder that Transformers.js loads by its path. `folder` holds the compiled model. */
export function exportForTransformers(folder: string, { geometry, contextLength }: Manifest): string {
  const target = join(folder, "transformers");
  mkdirSync(join(target, "onnx"), { recursive: true });
  const graph = withOuterInputs(readFileSync(join(folder, GRAPH_NAME)), geometry);
  writeFileSync(join(target, "onnx", "model.onnx"), graph);
  shareFile(join(folder, WEIGHTS_NAME), join(target, "onnx", WEIGHTS_NAME));
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    num_hidden_layers: geometry.layers,
    hidden_size: geometry.hidden,
    num_attention_heads: geometry.heads,
    num_key_value_heads: geometry.kvHeads,
    head_dim: geometry.headDim,
    vocab_size: geometry.vocabSize,
    max_position_embeddings: contextLength,
  };
  writeFileSync(join(target, "config.json"), JSON.stringify(config));
  return target;
}

function shareFile(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    // Some file systems have no hard links.
    copyFileSync(from, to);
  }
}

function withOuterInputs(model: Uint8Array, geometry: Manifest["geometry"]): Uint8Array {
  const outer = fieldsOf(graphOf(frontNodes(geometry)));
  const inner = fieldsOf(graphOf(model)).filter(({ number }) => number !== GRAPH_INPUT);
  const only = (fields: readonly Field[], ...numbers: readonly number[]): readonly Field[] =>
    fields.filter(({ number }) => numbers.includes(number));
  // Nodes must stand in the order in which they run; everything else may stand anywhere.
  const front = only(outer, GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT);
  const merged = Buffer.concat([...front, ...inner].map(({ bytes }) => bytes));
  const rest = fieldsOf(model).filter(({ number }) => number !== MODEL_GRAPH);
  return Buffer.concat([...rest.map(({ bytes }) => bytes), lengthDelimited(MODEL_GRAPH, merged)]);
}

function frontNodes({ layers, kvHeads, headDim }: Manifest["geometry"]): Uint8Array {
  const graph = new GraphBuilder(WEIGHTS_NAME);
  // Transformers.js makes an empty cache from these: it knows a size by the name batch_size, any other name is 0.
  graph.input("input_ids", "int64", ["batch_size", "sequence_length"]);
  graph.input("attention_mask", "int64", ["batch_size", "total_sequence_length"]);
  const cache = ["batch_size", kvHeads, "past_sequence_length", headDim] as const;
  for (let layer = 0; layer < layers; layer += 1) {
    for (const part of ["key", "value"]) {
      const outer = graph.input(`past_key_values.${layer}.${part}`, "float32", cache);
      graph.node("Identity", [outer], [`past.${layer}.${part}`]);
    }
  }
  const one = graph.constant("front.one", "int64", [1], [1]);
  const lengths = graph.node("ReduceSum", ["attention_mask", one], ["front.lengths"], { keepdims: 0 });
  const last = graph.node("Sub", [lengths, one], ["front.last"]);
  graph.node("Cast", [last], ["seqlens_k"], { to: INT32 });
  const axis = graph.constant("front.axis", "int64", [], [1]);
  const shape = graph.node("Shape", ["attention_mask"], ["front.shape"]);
  const total = graph.node("Gather", [shape, axis], ["front.total"], { axis: 0 });
  graph.node("Cast", [total], ["total_sequence_length"], { to: INT32 });
  const count = graph.node("Size", ["input_ids"], ["front.count"]);
  graph.node("Sub", [count, one], ["logit_rows"]);
  return graph.finish("bench");
}

/** A field of a message with its tag, as it stands in the bytes. */
interface Field {
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly content: Uint8Array;
}

function graphOf(model: Uint8Array): Uint8Array {
  const field = fieldsOf(model).find(({ number }) => number === MODEL_GRAPH);
  if (field === undefined) throw new Error("an ONNX file without a graph");
  return field.content;
}

const VARINT = 0;
const LENGTH_DELIMITED = 2;

function fieldsOf(message: Uint8Array): readonly Field[] {
  const fields: Field[] = [];
  for (let at = 0; at < message.length; ) {
    const tag = varint(message, at);
    const wire = tag.value & 7;
    const value = varint(message, tag.end);
    if (wire !== VARINT && wire !== LENGTH_DELIMITED)
      throw new Error(`wire type ${wire} is not expected here`);
    const end = wire === VARINT ? value.end : value.end + value.value;
    fields.push({
      number: tag.value >> 3,
      bytes: message.subarray(at, end),
      content: message.subarray(value.end, end),
    });
    at = end;
  }
  return fields;
}

function varint(bytes: Uint8Array, start: number): { readonly value: number; readonly end: number } {
  let value = 0;
  let at = start;
  for (let factor = 1; ; factor *= 128) {
    const byte = bytes[at] as number;
    value += (byte & 127) * factor;
    at += 1;
    if (byte < 128) return { value, end: at };
  }
}

function lengthDelimited(field: number, content: Uint8Array): Uint8Array {
  const head: number[] = [(field << 3) | LENGTH_DELIMITED];
  let rest = content.length;
  for (; rest >= 128; rest = Math.floor(rest / 128)) head.push((rest % 128) | 128);
  head.push(rest);
  return Buffer.concat([Uint8Array.from(head), content]);
}
