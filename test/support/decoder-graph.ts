/**
 * The smallest graph that is wired like an exported decoder: two layers of attention, no weights worth the name. It is for
 * the reader of such graphs, not to be run; each part can be changed or left out.
 */
import { CONTRIB, type DataType, type Dimension, GraphBuilder } from "../../models/compile/onnx.ts";

export interface DecoderParts {
  readonly inputs: Readonly<Record<string, readonly [type: DataType, shape: readonly Dimension[]]>>;
  readonly outputs: DecoderParts["inputs"];
  readonly nodes: readonly NodeParts[];
}

export interface NodeParts {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, number>>;
  readonly domain?: string;
}

export const VOCABULARY = 50;
const LAYERS = [0, 1];
const cache = ["float32", ["batch", 2, "past", 16]] as const;
const perLayer = (prefix: string): DecoderParts["inputs"] =>
  Object.fromEntries(
    LAYERS.flatMap((layer) => ["key", "value"].map((part) => [`${prefix}.${layer}.${part}`, cache])),
  );

export const attention = (layer: number): NodeParts => ({
  operator: "GroupQueryAttention",
  inputs: [
    "qkv",
    "",
    "",
    `past_key_values.${layer}.key`,
    `past_key_values.${layer}.value`,
    "seqlens_k",
    "total",
    "cos",
    "sin",
  ],
  outputs: [`attended${layer}`, `present.${layer}.key`, `present.${layer}.value`],
  attributes: { num_heads: 4, kv_num_heads: 2, do_rotary: 1 },
  domain: CONTRIB,
});

export const rightParts: DecoderParts = {
  inputs: {
    input_ids: ["int64", ["batch", "sequence"]],
    attention_mask: ["int64", ["batch", "total"]],
    ...perLayer("past_key_values"),
  },
  outputs: { logits: ["float32", ["batch", "sequence", VOCABULARY]], ...perLayer("present") },
  nodes: [
    attention(0),
    attention(1),
    { operator: "MatMul", inputs: ["attended1", "head"], outputs: ["logits"] },
  ],
};

/** `parts` undefined in a record: left out. */
export function decoderGraph(changes: {
  readonly inputs?: Readonly<Record<string, DecoderParts["inputs"][string] | undefined>>;
  readonly outputs?: Readonly<Record<string, DecoderParts["inputs"][string] | undefined>>;
  readonly nodes?: readonly NodeParts[];
}): Uint8Array {
  const graph = new GraphBuilder("model.onnx.data");
  const inputs = { ...rightParts.inputs, ...changes.inputs };
  for (const [name, value] of Object.entries(inputs)) if (value !== undefined) graph.input(name, ...value);
  const outputs = { ...rightParts.outputs, ...changes.outputs };
  for (const [name, value] of Object.entries(outputs)) if (value !== undefined) graph.output(name, ...value);
  graph.constant("cos", "float32", [32, 8], new Array<number>(256).fill(0));
  graph.constant("sin", "float32", [32, 8], new Array<number>(256).fill(0));
  graph.constant("head", "float32", [64, VOCABULARY], new Array<number>(64 * VOCABULARY).fill(0));
  for (const { operator, inputs: from, outputs: to, attributes, domain } of changes.nodes ??
    rightParts.nodes) {
    graph.node(operator, from, to, attributes, domain);
  }
  return graph.finish("test");
}
