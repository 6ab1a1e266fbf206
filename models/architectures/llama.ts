/** Llama 1 to 3.x, Mistral, TinyLlama, SmolLM2: no biases, no norms on q and k. */
import { describeLlamaLike } from "./llama-like.ts";
import type { Architecture } from "./spec.ts";

export const llama: Architecture = {
  names: ["llama", "mistral", "smollm", "smollm2"],
  describe: (source) => describeLlamaLike(source, { qkvBias: false, qkNorm: false, ggufInterleaved: true }),
};
