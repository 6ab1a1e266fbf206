/** Answers that somebody else would have generated. */
import type { GenerationEvent, Usage } from "../../engine/core/generator.ts";

export const USAGE: Usage = {
  promptTokens: 1,
  cachedTokens: 0,
  completionTokens: 1,
  queueMs: 0,
  prefillMs: 0,
  decodeMs: 0,
};

/** A whole answer, of this text in one piece. */
export const answer = (text: string): readonly GenerationEvent[] => [
  { kind: "started", promptTokens: 1 },
  { kind: "text", text, tokens: [], logprobs: [] },
  { kind: "finished", reason: "stop", usage: USAGE },
];
