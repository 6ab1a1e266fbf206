/**
 * Says whether a graph that was exported elsewhere is a decoder that weir can run, and what shape it has. The layout is
 * that of ORT GenAI's builder and of the onnx-community exports for Transformers.js: `input_ids`, `attention_mask`,
 * `position_ids` (not in all), `num_logits_to_keep` (not in all), `past_key_values.N.key|value`; `logits`,
 * `present.N.key|value`. Anything else is refused with the name of what does not fit.
 */
import type { GraphLayout, WeightPrecision } from "../../engine/core/model.ts";
import type { OnnxGraph, OnnxNode, OnnxValue } from "../formats/onnx.ts";
import type { ElementType } from "../formats/onnx-types.ts";
import { named } from "../formats/proto-reader.ts";
import { ModelFileError } from "../source.ts";
import { weightsOf } from "./weights.ts";

export interface ExportedDecoder {
  readonly layout: Extract<GraphLayout, { kind: "masked" }>;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Undefined where the graph leaves the size open. */
  readonly vocabSize: number | undefined;
  /** Positions that its rotary tables have; undefined where they are no plain constants of the graph. */
  readonly positionsMax: number | undefined;
  readonly weights: WeightPrecision;
  /** Elements that share a scale; 0 for f32. */
  readonly block: number;
}

const CONTRIB = "com.microsoft";
const ATTENTION = "GroupQueryAttention";
const LAYERS_MAX = 512;
const SIZE_MAX = 1 << 21;
const CACHE_INPUT = /^past_key_values\.(\d{1,4})\.(?:key|value)$/;
const PLAIN_INPUTS = ["input_ids", "attention_mask", "position_ids", "num_logits_to_keep"] as const;
type PlainInput = (typeof PLAIN_INPUTS)[number];

/** Throws ModelFileError; `path` is the graph's file. */
export function recogniseDecoder(path: string, graph: OnnxGraph): ExportedDecoder {
  return new Recogniser(path, graph).decoder();
}

class Recogniser {
  readonly #path: string;
  readonly #graph: OnnxGraph;
  readonly #inputs: ReadonlyMap<string, OnnxValue>;
  readonly #outputs: ReadonlyMap<string, OnnxValue>;
  readonly #attentions: readonly OnnxNode[];
  /** How often a value is the input of a node, bodies included. */
  readonly #uses = new Map<string, number>();

  constructor(path: string, graph: OnnxGraph) {
    this.#path = path;
    this.#graph = graph;
    this.#inputs = new Map(graph.inputs.map((value) => [value.name, value]));
    this.#outputs = new Map(graph.outputs.map((value) => [value.name, value]));
    this.#attentions = graph.nodes.filter(
      ({ operator, domain, depth }) => operator === ATTENTION && domain === CONTRIB && depth === 0,
    );
    for (const node of graph.nodes) {
      for (const value of node.inputs) this.#uses.set(value, (this.#uses.get(value) ?? 0) + 1);
    }
  }

  decoder(): ExportedDecoder {
    if (this.#attentions.length === 0) {
      this.#fail(
        ATTENTION,
        "no node of the graph is one. weir keeps the cache in place, which only this operator can; " +
          "take an export by ORT GenAI's builder, or one of onnx-community that has it",
      );
    }
    const layers = this.#layers();
    this.#checkInputs();
    this.#checkOperators();
    const vocabSize = this.#logits();
    const shape = this.#attention(0);
    for (let layer = 1; layer < layers; layer += 1) {
      const other = this.#attention(layer);
      if (other.kvHeads === shape.kvHeads && other.headDim === shape.headDim) continue;
      this.#fail(
        `past_key_values.${layer}.key`,
        `has ${other.kvHeads} heads of ${other.headDim}, layer 0 has ${shape.kvHeads} of ${shape.headDim}; all layers must be alike`,
      );
    }
    return {
      layout: {
        kind: "masked",
        positionIds: this.#inputs.has("position_ids"),
        logitsToKeep: this.#inputs.has("num_logits_to_keep"),
      },
      layers,
      ...shape,
      vocabSize,
      positionsMax: this.#positionsMax(),
      ...weightsOf(this.#path, this.#graph),
    };
  }

  #fail(field: string, problem: string): never {
    throw new ModelFileError(this.#path, field, problem);
  }

  #layers(): number {
    const layers = new Set([...this.#inputs.keys()].flatMap((name) => CACHE_INPUT.exec(name)?.[1] ?? []));
    if (layers.size === 0) this.#fail("past_key_values.0.key", "the graph has no such input");
    if (layers.size > LAYERS_MAX)
      this.#fail("past_key_values", `${layers.size} layers, at most ${LAYERS_MAX}`);
    return layers.size;
  }

  #checkInputs(): void {
    const isPlain = (name: string): name is PlainInput => (PLAIN_INPUTS as readonly string[]).includes(name);
    for (const name of this.#inputs.keys()) {
      if (isPlain(name) || CACHE_INPUT.test(name)) continue;
      this.#fail(
        named("input", name),
        `is none that weir can feed; those are ${PLAIN_INPUTS.join(", ")} and past_key_values.N.key|value`,
      );
    }
    this.#input("input_ids", "int64", 2);
    this.#input("attention_mask", "int64", 2);
    if (this.#inputs.has("position_ids")) this.#input("position_ids", "int64", 2);
    if (this.#inputs.has("num_logits_to_keep")) this.#input("num_logits_to_keep", "int64", 0);
    const [batch] = this.#inputs.get("input_ids")?.shape ?? [];
    if (typeof batch === "number") {
      this.#fail("input_ids", `is made for batches of ${batch}; weir changes their size at every step`);
    }
  }

  #input(name: string, type: ElementType, rank: number): OnnxValue {
    return this.#value(this.#inputs, "input", name, type, rank);
  }

  #value(
    values: ReadonlyMap<string, OnnxValue>,
    kind: "input" | "output",
    name: string,
    type: ElementType,
    rank: number,
  ): OnnxValue {
    const value = values.get(name);
    if (value === undefined) return this.#fail(name, `the graph has no such ${kind}`);
    if (value.type !== type) {
      const advice = value.type === "float16" ? "; take the export in f32 or q4 (not q4f16 or fp16)" : "";
      this.#fail(name, `is of type ${value.type}; weir runs exported graphs with ${type} here${advice}`);
    }
    if (value.shape.length !== rank) {
      this.#fail(name, `has ${value.shape.length} dimensions instead of ${rank}`);
    }
    return value;
  }

  /** Scales over a whole run would let a request's neighbours, and the way its prompt is cut, change its answer. */
  #checkOperators(): void {
    const dynamic = this.#graph.nodes.find(({ operator }) => /^DynamicQuantize/.test(operator));
    if (dynamic === undefined) return;
    this.#fail(
      dynamic.operator,
      "takes one scale over all rows of a run, so a request's answer would depend on its neighbours; " +
        "take the export in f32 or q4 (not int8, uint8 or quantized)",
    );
  }

  /** The vocabulary's size, where the graph states it. */
  #logits(): number | undefined {
    const { shape } = this.#value(this.#outputs, "output", "logits", "float32", 3);
    const [, rows, size] = shape;
    if (typeof rows === "number") {
      this.#fail(
        "logits",
        `are of ${rows} position of a run only; weir wants an export with those of every position`,
      );
    }
    if (typeof size !== "number") return undefined;
    return this.#size("logits", size);
  }

  /** The node of a layer, wired so that keys and values can stay where they are. */
  #attention(layer: number): Pick<ExportedDecoder, "heads" | "kvHeads" | "headDim"> {
    const [key, value] = [`past_key_values.${layer}.key`, `past_key_values.${layer}.value`];
    const node = this.#attentions.find(({ inputs }) => inputs[3] === key);
    if (node === undefined)
      return this.#fail(key, `goes into no ${ATTENTION}, so it cannot be kept in place`);
    const wired =
      node.inputs[4] === value &&
      node.outputs[1] === `present.${layer}.key` &&
      node.outputs[2] === `present.${layer}.value`;
    if (!wired) {
      this.#fail(
        key,
        `its ${ATTENTION} does not take ${value} and give present.${layer}.key and present.${layer}.value`,
      );
    }
    for (const name of [key, value]) {
      if (this.#uses.get(name) !== 1) this.#fail(name, `goes into other nodes than its ${ATTENTION} as well`);
    }
    const heads = this.#size(ATTENTION, node.integers.get("num_heads"), "num_heads");
    const kvHeads = this.#size(ATTENTION, node.integers.get("kv_num_heads"), "kv_num_heads");
    const cached = [key, value].map((name) => this.#cached(this.#input(name, "float32", 4), kvHeads));
    for (const name of ["key", "value"]) {
      this.#value(this.#outputs, "output", `present.${layer}.${name}`, "float32", 4);
    }
    const [headDim = 0] = cached;
    if (cached.some((size) => size !== headDim))
      this.#fail(value, "its heads are not as wide as those of the keys");
    if (heads % kvHeads !== 0) {
      this.#fail(ATTENTION, `${heads} query heads do not share ${kvHeads} KV heads evenly`);
    }
    return { heads, kvHeads, headDim };
  }

  /** Width of a head. */
  #cached({ name, shape }: OnnxValue, kvHeads: number): number {
    const [, heads, , width] = shape;
    if (heads !== kvHeads) this.#fail(name, `has ${heads} heads, kv_num_heads is ${kvHeads}`);
    return this.#size(name, width, "its last dimension");
  }

  #size(field: string, size: number | string | undefined, what = "its last dimension"): number {
    if (typeof size === "number" && size >= 1 && size <= SIZE_MAX) return size;
    return this.#fail(
      field,
      `${what} must be a number from 1 to ${SIZE_MAX}, found ${JSON.stringify(size ?? null)}`,
    );
  }

  #positionsMax(): number | undefined {
    const rows = this.#graph.nodes.flatMap((node) => {
      const table =
        node.operator === ATTENTION
          ? node.inputs[7]
          : node.operator === "RotaryEmbedding"
            ? node.inputs[2]
            : "";
      const size = this.#graph.constants.get(table ?? "")?.shape[0];
      return size === undefined ? [] : [size];
    });
    return rows.length === 0 ? undefined : Math.min(...rows.slice(0, LAYERS_MAX));
  }
}
