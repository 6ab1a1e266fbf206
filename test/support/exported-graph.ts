/**
 * Builds the graph of a decoder in the layout that ORT GenAI's builder and the onnx-community exports share, from weights
 * that weir's compiler has stored: the same numbers, so its answers can be held against those of weir's own graph.
 *
 * As those exporters do it, lengths come from the mask inside the graph: ReduceSum -> Sub -> Cast is each row's length
 * minus one ([batch, 1]), Shape -> Gather -> Cast the width. `genai`: rotary inside the attention, q, k and v packed, no
 * position_ids. `transformers`: rotary before it, by position_ids; with `num_logits_to_keep` where asked for. `width`: as
 * `transformers`, but positions are counted back from the mask's width, which is only right for the longest row.
 */
import type { StoredDecoder, StoredLayer } from "../../models/compile/decoder.ts";
import { CONTRIB, GraphBuilder, type Value } from "../../models/compile/onnx.ts";
import type { StoredMatrix } from "../../models/compile/weights.ts";

export interface ExportStyle {
  readonly style: "genai" | "transformers" | "width";
  readonly logitsToKeep?: boolean;
  /** MatMulNBits' attribute; exporters often leave it out, which is 0. */
  readonly accuracyLevel?: 0 | 4;
}

interface Shared {
  readonly seqlens: Value;
  readonly total: Value;
  /** int64, as RotaryEmbedding takes them: [batch, sequence], or [1] for the first of a row that counts on from there. */
  readonly positions: Value;
}

interface Stream {
  readonly normed: Value;
  readonly residual: Value;
}

const INT32 = 6;
const END = 2 ** 53 - 1;

export class ExportedGraph {
  readonly #model: StoredDecoder;
  readonly #style: ExportStyle;
  readonly #graph: GraphBuilder;

  constructor(model: StoredDecoder, dataFile: string, style: ExportStyle) {
    this.#model = model;
    this.#style = style;
    this.#graph = new GraphBuilder(dataFile);
  }

  build(): Uint8Array {
    const graph = this.#graph;
    const { geometry } = this.#model.spec;
    graph.input("input_ids", "int64", ["batch_size", "sequence_length"]);
    graph.input("attention_mask", "int64", ["batch_size", "total_sequence_length"]);
    if (this.#style.style === "transformers") {
      graph.input("position_ids", "int64", ["batch_size", "sequence_length"]);
    }
    if (this.#style.logitsToKeep) graph.input("num_logits_to_keep", "int64", []);
    graph.output("logits", "float32", ["batch_size", "sequence_length", geometry.vocabSize]);
    const shared = this.#lengths();
    const embedded = this.#embed();
    const [first] = this.#model.layers;
    let stream: Stream = {
      normed: this.#norm(embedded, first?.attentionNorm ?? this.#model.finalNorm, "first"),
      residual: embedded,
    };
    for (const [index, layer] of this.#model.layers.entries())
      stream = this.#layer(index, layer, stream, shared);
    this.#head(stream.normed);
    return graph.finish("exporter of the tests");
  }

  #lengths(): Shared {
    const graph = this.#graph;
    const one = graph.constant("/one", "int64", [1], [1]);
    const sum = graph.node("ReduceSum", ["attention_mask", one], ["/mask/ReduceSum"]);
    const less = graph.node("Sub", [sum, one], ["/mask/Sub"]);
    const shape = graph.node("Shape", ["attention_mask"], ["/mask/Shape"]);
    const width = graph.node(
      "Gather",
      [shape, graph.constant("/width", "int64", [], [1])],
      ["/mask/Gather"],
      { axis: 0 },
    );
    return {
      seqlens: graph.node("Cast", [less], ["/mask/seqlens_k"], { to: INT32 }),
      total: graph.node("Cast", [width], ["/mask/total_seq_len"], { to: INT32 }),
      positions: this.#style.style === "width" ? this.#positionsFrom(width) : "position_ids",
    };
  }

  #positionsFrom(width: Value): Value {
    const graph = this.#graph;
    const shape = graph.node("Shape", ["input_ids"], ["/positions/Shape"]);
    const index = graph.constant("/positions/axis", "int64", [1], [1]);
    const sequence = graph.node("Gather", [shape, index], ["/positions/Gather"], { axis: 0 });
    return graph.node("Sub", [width, sequence], ["/positions/Sub"]);
  }

  #embed(): Value {
    const graph = this.#graph;
    const { embedding } = this.#model;
    if (embedding.kind === "plain")
      return graph.node("Gather", [this.#plain(embedding), "input_ids"], ["/embed"]);
    const { data, scales } = this.#blocks(embedding, true);
    const attributes = {
      gather_axis: 0,
      quantize_axis: 2,
      block_size: embedding.block,
      bits: embedding.bits,
    };
    const rows = graph.node(
      "GatherBlockQuantized",
      [data, "input_ids", scales],
      ["/embed/blocks"],
      attributes,
      CONTRIB,
    );
    const shape = graph.constant("/embed/shape", "int64", [3], [0, 0, embedding.width]);
    return graph.node("Reshape", [rows, shape], ["/embed"]);
  }

  #layer(index: number, layer: StoredLayer, stream: Stream, shared: Shared): Stream {
    const graph = this.#graph;
    const name = (part: string): string => `/layers.${index}/${part}`;
    const attended = this.#attention(index, layer, stream.normed, shared);
    const projected = this.#linear(attended, layer.o, name("o_proj"));
    const middle = this.#addAndNorm(projected, stream.residual, layer.mlpNorm, name("post_norm"));
    const gate = this.#linear(middle.normed, layer.gate, name("gate_proj"));
    const up = this.#linear(middle.normed, layer.up, name("up_proj"));
    const sigmoid = graph.node("Sigmoid", [gate], [name("sigmoid")]);
    const silu = graph.node("Mul", [gate, sigmoid], [name("silu")]);
    const product = graph.node("Mul", [silu, up], [name("gated")]);
    const down = this.#linear(product, layer.down, name("down_proj"));
    const next = this.#model.layers[index + 1]?.attentionNorm ?? this.#model.finalNorm;
    return this.#addAndNorm(down, middle.residual, next, name("next_norm"));
  }

  #attention(index: number, layer: StoredLayer, input: Value, shared: Shared): Value {
    const { seqlens, total, positions } = shared;
    const graph = this.#graph;
    const { spec, cos, sin } = this.#model;
    const { heads, kvHeads, headDim } = spec.geometry;
    const name = (part: string): string => `/layers.${index}/${part}`;
    const cacheShape = ["batch_size", kvHeads, "past_sequence_length", headDim] as const;
    const past = ["key", "value"].map((part) =>
      graph.input(`past_key_values.${index}.${part}`, "float32", cacheShape),
    );
    for (const part of ["key", "value"]) graph.output(`present.${index}.${part}`, "float32", cacheShape);
    const [only] = layer.qkv;
    if (layer.qkv.length !== 1 || only === undefined)
      throw new Error("the exporter wants q, k and v in one matrix");
    const projected = this.#linear(input, only, name("qkv_proj"));
    const bias = layer.qkvBias;
    const packed =
      bias === undefined ? projected : graph.node("Add", [projected, graph.external(bias)], [name("qkv")]);
    const outputs = [name("attention"), `present.${index}.key`, `present.${index}.value`];
    const interleaved = spec.rope.interleaved ? 1 : 0;
    const common = { num_heads: heads, kv_num_heads: kvHeads, scale: { float: spec.attentionScale } };
    if (this.#style.style === "genai") {
      const inputs = [packed, "", "", ...past, seqlens, total, graph.external(cos), graph.external(sin)];
      const attributes = { ...common, do_rotary: 1, rotary_interleaved: interleaved };
      return graph.node("GroupQueryAttention", inputs, outputs, attributes, CONTRIB);
    }
    const sizes = graph.constant(
      "/qkv_sizes",
      "int64",
      [3],
      [heads, kvHeads, kvHeads].map((count) => count * headDim),
    );
    const parts = [name("q"), name("k"), name("v")] as const;
    graph.node("Split", [packed, sizes], parts, { axis: -1 });
    const turn = (part: Value): Value => {
      const inputs = [part, positions, graph.external(cos), graph.external(sin)];
      return graph.node("RotaryEmbedding", inputs, [`${part}_rotary`], { interleaved }, CONTRIB);
    };
    const inputs = [turn(parts[0]), turn(parts[1]), parts[2], ...past, seqlens, total];
    return graph.node("GroupQueryAttention", inputs, outputs, { ...common, do_rotary: 0 }, CONTRIB);
  }

  #head(input: Value): void {
    const graph = this.#graph;
    const { head } = this.#model;
    const wanted = this.#style.logitsToKeep ? this.#lastRows(input) : input;
    if (head.kind === "blocks" || head.transposed) {
      this.#linear(wanted, head, "logits");
      return;
    }
    // Tied to the embedding, which lies the other way round.
    const turned = graph.node("Transpose", [this.#plain(head)], ["/lm_head/weight"], { perm: [1, 0] });
    graph.node("MatMul", [wanted, turned], ["logits"]);
  }

  /** As torch exports hidden[:, -n:]: 0 keeps them all. */
  #lastRows(input: Value): Value {
    const graph = this.#graph;
    const start = graph.node("Neg", ["num_logits_to_keep"], ["/keep/Neg"]);
    const axis = graph.constant("/keep/axis", "int64", [1], [0]);
    const from = graph.node("Unsqueeze", [start, axis], ["/keep/from"]);
    const [end, rows] = [
      graph.constant("/keep/end", "int64", [1], [END]),
      graph.constant("/one", "int64", [1], [1]),
    ];
    return graph.node("Slice", [input, from, end, rows], ["/keep/rows"]);
  }

  #linear(input: Value, matrix: StoredMatrix, output: Value): Value {
    const graph = this.#graph;
    if (matrix.kind === "plain") return graph.node("MatMul", [input, this.#plain(matrix)], [output]);
    const { data, scales } = this.#blocks(matrix, false);
    const { accuracyLevel } = this.#style;
    const attributes = {
      ...{ K: matrix.width, N: matrix.rows, bits: matrix.bits, block_size: matrix.block },
      ...(accuracyLevel === undefined ? {} : { accuracy_level: accuracyLevel }),
    };
    return graph.node("MatMulNBits", [input, data, scales], [output], attributes, CONTRIB);
  }

  #plain(matrix: Extract<StoredMatrix, { kind: "plain" }>): Value {
    const shape = matrix.transposed ? [matrix.width, matrix.rows] : [matrix.rows, matrix.width];
    return this.#graph.external({ name: matrix.name, type: "float32", shape, ...matrix.data });
  }

  #blocks(
    matrix: Extract<StoredMatrix, { kind: "blocks" }>,
    forGather: boolean,
  ): { readonly data: Value; readonly scales: Value } {
    const graph = this.#graph;
    const perRow = matrix.width / matrix.block;
    const shape = [matrix.rows, perRow, (matrix.block * matrix.bits) / 8];
    const scaleShape = forGather ? [matrix.rows, perRow, 1] : [matrix.rows, perRow];
    const scaleName = `${matrix.name}.${forGather ? "gather_scales" : "scales"}`;
    return {
      data: graph.external({ name: `${matrix.name}.data`, type: "uint8", shape, ...matrix.data }),
      scales: graph.external({ name: scaleName, type: "float32", shape: scaleShape, ...matrix.scales }),
    };
  }

  /** residual + input, and its RMSNorm. */
  #addAndNorm(input: Value, residual: Value, weight: StoredDecoder["finalNorm"], name: string): Stream {
    const [normed, sum] = [`${name}/output_0`, `${name}/output_3`];
    const inputs = [input, residual, this.#graph.external(weight)];
    const attributes = { epsilon: { float: this.#model.spec.normEpsilon } };
    this.#graph.node("SkipSimplifiedLayerNormalization", inputs, [normed, "", "", sum], attributes, CONTRIB);
    return { normed, residual: sum };
  }

  #norm(input: Value, weight: StoredDecoder["finalNorm"], name: string): Value {
    const attributes = { axis: -1, epsilon: { float: this.#model.spec.normEpsilon }, stash_type: 1 };
    return this.#graph.node(
      "SimplifiedLayerNormalization",
      [input, this.#graph.external(weight)],
      [`${name}/output`],
      attributes,
    );
  }
}
