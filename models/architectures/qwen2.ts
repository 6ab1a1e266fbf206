/** Qwen2 and Qwen2.5: biases on q, k and v. */
import { describeLlamaLike } from "./llama-like.ts";
import type { Architecture } from "./spec.ts";

export const qwen2: Architecture = {
  names: ["qwen2"],
  describe: (source) => describeLlamaLike(source, { qkvBias: true, qkNorm: false, ggufInterleaved: false }),
};
