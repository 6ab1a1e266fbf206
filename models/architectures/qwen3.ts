/** Qwen3: no biases; q and k are RMS-normalised per head before they are rotated. */
import { describeLlamaLike } from "./llama-like.ts";
import type { Architecture } from "./spec.ts";

export const qwen3: Architecture = {
  names: ["qwen3"],
  describe: (source) => describeLlamaLike(source, { qkvBias: false, qkNorm: true, ggufInterleaved: false }),
};
