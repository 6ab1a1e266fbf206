/**
 * Layers -> ONNX graph. One graph serves prefill (batch 1, many tokens) and decode (many rows, one token each).
 *
 * Inputs: `input_ids` int64 [batch, sequence]; `seqlens_k` int32 [batch], each row's length after this run minus one;
 * `total_sequence_length` int32 scalar, the largest length after this run; `logit_rows` int64 [rows], which of the
 * batch * sequence positions go through the head; `past.N.key|value` [batch, kvHeads, capacity, headDim].
 * The graph for shared steps takes decode rows and one slot's chunk in a single run, so that the weights are read once for
 * both: `input_ids` [1, tokens], the rows' tokens first, then the chunk's; `split` int64 [2] says how many each;
 * `chunk_seqlens_k`, `chunk_total_sequence_length` and `chunk_past.N.key|value` [1, ...] are the chunk's own. Only the
 * attention tells them apart. The chunk's cache is f32 also where the rows' is int8: the kernel for an int8 cache widens
 * all that stands before a chunk for each chunk anew, so the prompt that is being read has a cache of its own in f32, and
 * the worker rounds it into the rows' (engine/worker/prompt-stage.ts).
 *
 * Outputs: `logits` f32 [1, rows, vocabulary]; `present.N.key|value`, which the worker binds to the same memory as past.
 */
import type { CacheScale } from "../../engine/core/model.ts";
import type { DecoderSpec } from "../architectures/spec.ts";
import { CONTRIB, type ExternalTensor, GraphBuilder, type Value } from "./onnx.ts";
import type { StoredMatrix } from "./weights.ts";

export interface StoredLayer {
  readonly attentionNorm: ExternalTensor;
  /** q, k and v; one matrix where they share a precision, else three. */
  readonly qkv: readonly StoredMatrix[];
  readonly qkvBias: ExternalTensor | undefined;
  readonly qkNorm: { readonly q: ExternalTensor; readonly k: ExternalTensor } | undefined;
  readonly o: StoredMatrix;
  readonly mlpNorm: ExternalTensor;
  readonly gate: StoredMatrix;
  readonly up: StoredMatrix;
  readonly down: StoredMatrix;
}

export interface StoredDecoder {
  readonly spec: DecoderSpec;
  readonly embedding: StoredMatrix;
  readonly head: StoredMatrix;
  readonly finalNorm: ExternalTensor;
  readonly cos: ExternalTensor;
  readonly sin: ExternalTensor;
  readonly layers: readonly StoredLayer[];
}

export interface GraphOptions {
  readonly dataFile: string;
  /** One pair a layer: keys and values are stored as int8 times these. Undefined: an f32 cache. */
  readonly kvScales: readonly CacheScale[] | undefined;
  /**
   * MatMulNBits' `accuracy_level`: 4 rounds activations to int8 per block (the fast kernels, what llama.cpp does too),
   * 0 keeps them in f32.
   */
  readonly accuracyLevel: 0 | 4;
  /** For shared steps: rows and a chunk in one run. */
  readonly shared: boolean;
  readonly producerVersion: string;
}

export function buildDecoderGraph(model: StoredDecoder, options: GraphOptions): Uint8Array {
  return new DecoderGraph(model, options).build();
}

interface Stream {
  readonly normed: Value;
  readonly residual: Value;
}

class DecoderGraph {
  readonly #model: StoredDecoder;
  readonly #options: GraphOptions;
  readonly #graph: GraphBuilder;

  constructor(model: StoredDecoder, options: GraphOptions) {
    this.#model = model;
    this.#options = options;
    this.#graph = new GraphBuilder(options.dataFile);
  }

  build(): Uint8Array {
    const graph = this.#graph;
    const { geometry } = this.#model.spec;
    graph.input("input_ids", "int64", this.#options.shared ? [1, "tokens"] : ["batch", "sequence"]);
    graph.input("seqlens_k", "int32", ["batch"]);
    graph.input("total_sequence_length", "int32", []);
    if (this.#options.shared) {
      graph.input("split", "int64", [2]);
      graph.input("chunk_seqlens_k", "int32", [1]);
      graph.input("chunk_total_sequence_length", "int32", []);
    }
    graph.input("logit_rows", "int64", ["rows"]);
    graph.output("logits", "float32", [1, "rows", geometry.vocabSize]);
    const embedded = this.#embed();
    const first = this.#model.layers[0]?.attentionNorm ?? this.#model.finalNorm;
    let stream: Stream = { normed: this.#norm(embedded, first, "layer0.norm"), residual: embedded };
    for (const [index, layer] of this.#model.layers.entries()) stream = this.#layer(index, layer, stream);
    this.#head(stream.normed);
    return graph.finish(this.#options.producerVersion);
  }

  #embed(): Value {
    const graph = this.#graph;
    const table = this.#model.embedding;
    const { hidden } = this.#model.spec.geometry;
    if (table.kind === "plain") {
      const data = graph.external({
        name: table.name,
        type: "float32",
        shape: [table.rows, table.width],
        ...table.data,
      });
      return graph.node("Gather", [data, "input_ids"], ["embedded"], { axis: 0 });
    }
    // Three dimensions, one block in the last: the same bytes that MatMulNBits reads where the head is tied.
    const perRow = Math.ceil(table.width / table.block);
    const data = graph.external({
      name: `${table.name}.data`,
      type: "uint8",
      shape: [table.rows, perRow, (table.block * table.bits) / 8],
      ...table.data,
    });
    const scales = graph.external({
      name: `${table.name}.gather_scales`,
      type: "float32",
      shape: [table.rows, perRow, 1],
      ...table.scales,
    });
    const attributes = { gather_axis: 0, quantize_axis: 2, block_size: table.block, bits: table.bits };
    const rows = graph.node(
      "GatherBlockQuantized",
      [data, "input_ids", scales],
      ["embedded.blocks"],
      attributes,
      CONTRIB,
    );
    const padded = graph.node(
      "Reshape",
      [rows, graph.constant("shape.embedded", "int64", [3], [0, 0, perRow * table.block])],
      ["embedded.padded"],
    );
    if (perRow * table.block === hidden) return padded;
    const [from, to, axis] = [
      graph.constant("embedded.from", "int64", [1], [0]),
      graph.constant("embedded.to", "int64", [1], [hidden]),
      graph.constant("embedded.axis", "int64", [1], [2]),
    ];
    return graph.node("Slice", [padded, from, to, axis], ["embedded"]);
  }

  #layer(index: number, layer: StoredLayer, stream: Stream): Stream {
    const graph = this.#graph;
    const name = (part: string): string => `layer${index}.${part}`;
    const last = index === this.#model.layers.length - 1;
    const attended = this.#attention(index, layer, stream.normed);
    // After the last attention only the wanted rows matter: everything behind it is computed for those alone.
    const { hidden, heads, headDim } = this.#model.spec.geometry;
    const context = last ? this.#wantedRows(attended, heads * headDim, name("attention.wanted")) : attended;
    const residual = last
      ? this.#wantedRows(stream.residual, hidden, name("residual.wanted"))
      : stream.residual;
    const projected = this.#linear(context, layer.o, name("o"));
    const middle = this.#addAndNorm(projected, residual, layer.mlpNorm, name("mlp"));
    const gate = this.#linear(middle.normed, layer.gate, name("gate"));
    const up = this.#linear(middle.normed, layer.up, name("up"));
    // QuickGelu with alpha 1 is SiLU: x * sigmoid(x).
    const activated = graph.node("QuickGelu", [gate], [name("silu")], { alpha: { float: 1 } }, CONTRIB);
    const product = graph.node("Mul", [activated, up], [name("gated")]);
    const down = this.#linear(product, layer.down, name("down"));
    const nextNorm = this.#model.layers[index + 1]?.attentionNorm ?? this.#model.finalNorm;
    return this.#addAndNorm(down, middle.residual, nextNorm, `layer${index + 1}`);
  }

  #attention(index: number, layer: StoredLayer, input: Value): Value {
    const graph = this.#graph;
    const name = `layer${index}.attention`;
    const all = this.#queryKeyValue(index, layer, input);
    if (!this.#options.shared) return this.#attend(index, all, "", name);
    const parts = all.map((value) => {
      if (value === "") return ["", ""] as const;
      const [rows, chunk] = [`${value}.rows`, `${value}.chunk`];
      graph.node("Split", [value, "split"], [`${rows}.flat`, chunk], { axis: 1 });
      // [1, rows, width] -> [rows, 1, width]: to the attention each is a sequence of its own.
      return [graph.node("Transpose", [`${rows}.flat`], [rows], { perm: [1, 0, 2] }), chunk] as const;
    });
    const [q = ["", ""], k = ["", ""], v = ["", ""]] = parts;
    const rows = this.#attend(index, [q[0], k[0], v[0]], "", `${name}.rows`);
    const chunk = this.#attend(index, [q[1], k[1], v[1]], "chunk_", `${name}.chunk`);
    const flat = graph.node("Transpose", [rows], [`${name}.rows.joined`], { perm: [1, 0, 2] });
    return graph.node("Concat", [flat, chunk], [name], { axis: 1 });
  }

  /** `side`: "" for the only or the decoding part of a run, "chunk_" for the chunk of a shared one. */
  #attend(index: number, packed: readonly [Value, Value, Value], side: "" | "chunk_", output: string): Value {
    const graph = this.#graph;
    const { spec } = this.#model;
    const { heads, kvHeads, headDim } = spec.geometry;
    const name = (part: string): string => `layer${index}.${part}`;
    const scales = side === "" ? this.#options.kvScales?.[index] : undefined;
    const cacheShape = [side === "" ? "batch" : 1, kvHeads, "capacity", headDim] as const;
    const cacheType = scales === undefined ? "float32" : "int8";
    const [pastKey, pastValue] = [`${side}past.${index}.key`, `${side}past.${index}.value`];
    const [presentKey, presentValue] = [`${side}present.${index}.key`, `${side}present.${index}.value`];
    graph.input(pastKey, cacheType, cacheShape);
    graph.input(pastValue, cacheType, cacheShape);
    graph.output(presentKey, cacheType, cacheShape);
    graph.output(presentValue, cacheType, cacheShape);
    const inputs = [...packed, pastKey, pastValue, `${side}seqlens_k`, `${side}total_sequence_length`];
    inputs.push(graph.external(this.#model.cos), graph.external(this.#model.sin));
    if (scales !== undefined) {
      inputs.push("", "", "");
      inputs.push(graph.constant(name("k_scale"), "float32", [1], [scales.key]));
      inputs.push(graph.constant(name("v_scale"), "float32", [1], [scales.value]));
    }
    const quantised = { k_quant_type: "PER_TENSOR", v_quant_type: "PER_TENSOR", kv_cache_bit_width: 8 };
    const attributes = {
      num_heads: heads,
      kv_num_heads: kvHeads,
      do_rotary: 1,
      rotary_interleaved: spec.rope.interleaved ? 1 : 0,
      scale: { float: spec.attentionScale },
      ...(scales === undefined ? {} : quantised),
    };
    const outputs = [output, presentKey, presentValue];
    return graph.node("GroupQueryAttention", inputs, outputs, attributes, CONTRIB);
  }

  /** Packed as one value where nothing stands between the projection and the attention. */
  #queryKeyValue(index: number, layer: StoredLayer, input: Value): readonly [Value, Value, Value] {
    const graph = this.#graph;
    const { heads, kvHeads, headDim } = this.#model.spec.geometry;
    const name = (part: string): string => `layer${index}.${part}`;
    const [all] = layer.qkv;
    const single = layer.qkv.length === 1 && all !== undefined;
    const parts = layer.qkv.map((matrix, part) =>
      this.#linear(input, matrix, name(single ? "qkv" : `qkv${part}`)),
    );
    const joined = single ? (parts[0] ?? "") : graph.node("Concat", parts, [name("qkv")], { axis: -1 });
    const packed =
      layer.qkvBias === undefined
        ? joined
        : graph.node("Add", [joined, graph.external(layer.qkvBias)], [name("qkv.biased")]);
    if (layer.qkNorm === undefined) return [packed, "", ""];
    const sizes = [heads * headDim, kvHeads * headDim, kvHeads * headDim];
    const split = [name("q.raw"), name("k.raw"), name("v")] as const;
    graph.node("Split", [packed, graph.constant("split.qkv", "int64", [3], sizes)], [...split], { axis: -1 });
    const query = this.#normPerHead(split[0], heads, layer.qkNorm.q, name("q"));
    const key = this.#normPerHead(split[1], kvHeads, layer.qkNorm.k, name("k"));
    return [query, key, split[2]];
  }

  #normPerHead(input: Value, heads: number, weight: ExternalTensor, name: string): Value {
    const graph = this.#graph;
    const { headDim } = this.#model.spec.geometry;
    const apart = graph.constant(`shape.${heads}heads`, "int64", [4], [0, 0, heads, headDim]);
    const together = graph.constant(`shape.${heads}heads.joined`, "int64", [3], [0, 0, heads * headDim]);
    const split = graph.node("Reshape", [input, apart], [`${name}.heads`]);
    const normed = this.#norm(split, weight, `${name}.normed`);
    return graph.node("Reshape", [normed, together], [name]);
  }

  #head(input: Value): void {
    const graph = this.#graph;
    const { head } = this.#model;
    if (head.kind === "plain" && !head.transposed) {
      // Stored once for embedding and head, so the head takes it as it lies: [vocabulary, hidden].
      const { hidden, vocabSize } = this.#model.spec.geometry;
      const flat = graph.node(
        "Reshape",
        [input, graph.constant("shape.flat", "int64", [2], [-1, hidden])],
        ["head.input"],
      );
      const table = graph.external({
        name: head.name,
        type: "float32",
        shape: [head.rows, head.width],
        ...head.data,
      });
      const scores = graph.node("Gemm", [flat, table], ["head.scores"], { transB: 1 });
      const shape = graph.constant("shape.logits", "int64", [3], [1, -1, vocabSize]);
      graph.node("Reshape", [scores, shape], ["logits"]);
      return;
    }
    this.#linear(input, head, "logits");
  }

  #linear(input: Value, matrix: StoredMatrix, output: Value): Value {
    const graph = this.#graph;
    if (matrix.kind === "plain") {
      const shape = [matrix.width, matrix.rows];
      const weights = graph.external({ name: matrix.name, type: "float32", shape, ...matrix.data });
      return graph.node("MatMul", [input, weights], [output]);
    }
    const perRow = Math.ceil(matrix.width / matrix.block);
    const data = graph.external({
      name: `${matrix.name}.data`,
      type: "uint8",
      shape: [matrix.rows, perRow, (matrix.block * matrix.bits) / 8],
      ...matrix.data,
    });
    const scales = graph.external({
      name: `${matrix.name}.scales`,
      type: "float32",
      shape: [matrix.rows, perRow],
      ...matrix.scales,
    });
    const attributes = {
      K: matrix.width,
      N: matrix.rows,
      bits: matrix.bits,
      block_size: matrix.block,
      accuracy_level: this.#options.accuracyLevel,
    };
    return graph.node("MatMulNBits", [input, data, scales], [output], attributes, CONTRIB);
  }

  #norm(input: Value, weight: ExternalTensor, output: Value): Value {
    const attributes = { axis: -1, epsilon: { float: this.#model.spec.normEpsilon }, stash_type: 1 };
    return this.#graph.node(
      "SimplifiedLayerNormalization",
      [input, this.#graph.external(weight)],
      [output],
      attributes,
    );
  }

  /** residual + input, and its RMSNorm, in one pass. */
  #addAndNorm(input: Value, residual: Value, weight: ExternalTensor, name: string): Stream {
    const outputs = [`${name}.norm`, "", "", `${name}.residual`];
    const inputs = [input, residual, this.#graph.external(weight)];
    const attributes = { epsilon: { float: this.#model.spec.normEpsilon } };
    this.#graph.node("SkipSimplifiedLayerNormalization", inputs, outputs, attributes, CONTRIB);
    return { normed: outputs[0] ?? "", residual: outputs[3] ?? "" };
  }

  #wantedRows(input: Value, width: number, output: Value): Value {
    const shape = this.#graph.constant(`shape.rows${width}`, "int64", [3], [1, -1, width]);
    const flat = this.#graph.node("Reshape", [input, shape], [`${output}.flat`]);
    return this.#graph.node("Gather", [flat, "logit_rows"], [output], { axis: 1 });
  }
}
