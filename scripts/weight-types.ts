/** Which type each matrix of a generated model is stored in: one for all, or llama.cpp's usual mixture. */
import type { TensorType } from "../models/source.ts";

/** Q4_K_M is Q4_K, and Q6_K where it matters most. */
export type WeightType = TensorType | "Q4_K_M";

/** `general.file_type` (source: `llama_ftype` in llama.h). */
export const FILE_TYPE: Readonly<Record<WeightType, number>> = {
  ...{ F32: 0, F16: 1, BF16: 32, Q8_0: 7, Q4_0: 2 },
  ...{ Q4_K: 14, Q4_K_M: 15, Q5_K: 16, Q6_K: 18 },
};

export const EMBEDDING = "token_embd.weight";
/** Only where the embedding is not the output as well. */
export const HEAD = "output.weight";

/**
 * Q4_K_M gives Q6_K to the output, and to values and downward projections of the first and last eighth of the layers and of
 * every third between (source: `llama_tensor_get_type`, `use_more_bits` in llama-quant.cpp).
 */
export function typeOf(tensor: string, type: WeightType, layers: number): TensorType {
  if (type !== "Q4_K_M") return type;
  if (tensor === EMBEDDING || tensor === HEAD) return "Q6_K";
  const [, index, part] = /^blk\.(\d+)\.(.*)\.weight$/.exec(tensor) ?? [];
  if (part !== "attn_v" && part !== "ffn_down") return "Q4_K";
  const layer = Number(index);
  const eighth = Math.floor(layers / 8);
  const outer = layer < eighth || layer >= Math.floor((7 * layers) / 8);
  return outer || (layer - eighth) % 3 === 2 ? "Q6_K" : "Q4_K";
}
