/** In which precision an exported graph keeps its weights: the one that most of them have. */
import type { WeightPrecision } from "../../engine/core/model.ts";
import type { OnnxGraph } from "../formats/onnx.ts";
import { ModelFileError } from "../source.ts";

export interface ExportedWeights {
  readonly weights: WeightPrecision;
  /** Elements that share a scale; 0 for f32. */
  readonly block: number;
}

const BITS: Readonly<Record<number, WeightPrecision>> = { 4: "q4", 8: "q8" };
const BLOCKS: readonly number[] = [16, 32, 64, 128, 256];

/** Throws ModelFileError, naming the operator or the type, where weir's manifest has no word for it. */
export function weightsOf(path: string, graph: OnnxGraph): ExportedWeights {
  const sizes = new Map<string, number>();
  for (const { operator, integers } of graph.nodes) {
    if (operator !== "MatMulNBits") continue;
    const [bits, block, rows = 0, width = 0] = ["bits", "block_size", "N", "K"].map((name) =>
      integers.get(name),
    );
    // The attribute's default.
    const precision = `${bits ?? 4}/${block}`;
    sizes.set(precision, (sizes.get(precision) ?? 0) + rows * width);
  }
  const quantised = largest(sizes);
  if (quantised === undefined) return plain(path, graph);
  const [bits = 0, block = 0] = quantised.split("/").map(Number);
  const weights = BITS[bits];
  if (weights === undefined || !BLOCKS.includes(block)) {
    throw new ModelFileError(
      path,
      "MatMulNBits",
      `weights of ${bits} bits in blocks of ${block} are not supported; supported: 4 or 8 bits, blocks of ${BLOCKS.join(", ")}`,
    );
  }
  return { weights, block };
}

function plain(path: string, graph: OnnxGraph): ExportedWeights {
  const sizes = new Map<string, number>();
  for (const { type, shape } of graph.constants.values()) {
    if (shape.length < 2) continue;
    const elements = shape.reduce((product, size) => product * size, 1);
    sizes.set(type, (sizes.get(type) ?? 0) + elements);
  }
  const type = largest(sizes);
  if (type === "float32") return { weights: "f32", block: 0 };
  throw new ModelFileError(
    path,
    "weights",
    type === undefined
      ? "the graph has no matrices among its constants"
      : `most are of type ${type}; supported: float32, and 4 or 8 bits through MatMulNBits`,
  );
}

/** The key with the largest sum. */
function largest(sizes: ReadonlyMap<string, number>): string | undefined {
  const [first] = [...sizes].sort(([, a], [, b]) => b - a);
  return first?.[0];
}
