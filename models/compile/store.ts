/** Brings a model's tensors into the data file, in the order in which a step reads them. */
import { PAD_MAX } from "../../engine/core/limits.ts";
import type { DecoderSpec, LayerTensors } from "../architectures/spec.ts";
import type { StoredDecoder, StoredLayer } from "./decoder.ts";
import type { MatrixPrecision, StoredMatrix, WeightWriter } from "./weights.ts";

export type ChoosePrecision = (tensor: string) => MatrixPrecision;

export function storeDecoder(
  spec: DecoderSpec,
  writer: WeightWriter,
  choose: ChoosePrecision,
): StoredDecoder {
  const { geometry, rope } = spec;
  const { hidden } = geometry;
  writer.expectMatrix(spec.embedding, geometry.vocabSize, hidden);
  const tied = spec.head === undefined;
  const embedding = matrix(writer, [spec.embedding], "embedding", hidden, choose(spec.embedding), false);
  const half = rope.dims / 2;
  // Runs are filled up with tokens behind the last one, which may stand at the end of the context.
  const positions = spec.contextLength + PAD_MAX;
  const angles = (turn: (angle: number) => number): Float32Array<ArrayBuffer> => {
    const values = new Float32Array(positions * half);
    for (let position = 0; position < positions; position += 1) {
      for (let i = 0; i < half; i += 1)
        values[position * half + i] = turn(position * (rope.frequencies[i] ?? 0));
    }
    return values;
  };
  const cos = writer.table(angles(Math.cos), "rope.cos", [positions, half]);
  const sin = writer.table(angles(Math.sin), "rope.sin", [positions, half]);
  const layers: StoredLayer[] = [];
  for (let index = 0; index < geometry.layers; index += 1) {
    layers.push(storeLayer(spec, spec.layer(index), index, writer, choose));
  }
  const finalNorm = writer.vector([spec.finalNorm], "final_norm", hidden);
  if (!tied) writer.expectMatrix(spec.head, geometry.vocabSize, hidden);
  const head = tied ? embedding : matrix(writer, [spec.head], "head", hidden, choose(spec.head), true);
  return { spec, embedding, head, finalNorm, cos, sin, layers };
}

function storeLayer(
  spec: DecoderSpec,
  tensors: LayerTensors,
  index: number,
  writer: WeightWriter,
  choose: ChoosePrecision,
): StoredLayer {
  const { hidden, heads, kvHeads, headDim } = spec.geometry;
  const name = (part: string): string => `layer${index}.${part}`;
  const store = (tensor: string, part: string, rows: number, width: number): StoredMatrix => {
    writer.expectMatrix(tensor, rows, width);
    return matrix(writer, [tensor], name(part), width, choose(tensor), true);
  };
  const projections = [tensors.q, tensors.k, tensors.v];
  const sizes = [heads * headDim, kvHeads * headDim, kvHeads * headDim];
  for (const [part, tensor] of projections.entries()) writer.expectMatrix(tensor, sizes[part] ?? 0, hidden);
  const precisions = projections.map(choose);
  const alike = precisions.every((p) => p.bits === precisions[0]?.bits && p.block === precisions[0]?.block);
  const [first] = precisions;
  const attentionNorm = writer.vector([tensors.attentionNorm], name("attention_norm.weight"), hidden);
  const qkv =
    alike && first !== undefined
      ? [matrix(writer, projections, name("qkv.weight"), hidden, first, true)]
      : projections.map((tensor, part) => store(tensor, `qkv${part}.weight`, sizes[part] ?? 0, hidden));
  const { qkvBias, qkNorm } = tensors;
  const biasLength = (heads + 2 * kvHeads) * headDim;
  return {
    attentionNorm,
    qkv,
    qkvBias: qkvBias && writer.vector([qkvBias.q, qkvBias.k, qkvBias.v], name("qkv.bias"), biasLength),
    qkNorm: qkNorm && {
      q: writer.vector([qkNorm.q], name("q_norm.weight"), headDim),
      k: writer.vector([qkNorm.k], name("k_norm.weight"), headDim),
    },
    o: store(tensors.o, "o.weight", hidden, heads * headDim),
    mlpNorm: writer.vector([tensors.mlpNorm], name("mlp_norm.weight"), hidden),
    gate: store(tensors.gate, "gate.weight", spec.intermediate, hidden),
    up: store(tensors.up, "up.weight", spec.intermediate, hidden),
    down: store(tensors.down, "down.weight", hidden, spec.intermediate),
  };
}

function matrix(
  writer: WeightWriter,
  tensors: readonly string[],
  name: string,
  width: number,
  precision: MatrixPrecision,
  transposed: boolean,
): StoredMatrix {
  const { bits, block } = precision;
  return bits === 32
    ? writer.plain(tensors, name, width, transposed)
    : writer.blocks(tensors, name, width, bits, block);
}
