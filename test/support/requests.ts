/** Requests, and ways to draw, for tests and benches that name only what they are about. */
import type { GenerationRequest, Prompt, Sampling } from "../../engine/core/request.ts";

/** Draws from the whole distribution: no filter, no penalty, no bias. */
export const PLAIN: Sampling = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  seed: 0,
};

export const GREEDY: Sampling = { ...PLAIN, temperature: 0 };

export type RequestChanges = Partial<Omit<GenerationRequest, "prompt" | "sampling">> & {
  readonly prompt?: string | Prompt;
  readonly sampling?: Partial<Sampling>;
};

/** A greedy request of a text, with these changes. */
export const newRequest = ({
  prompt = "Once",
  sampling,
  ...changes
}: RequestChanges = {}): GenerationRequest => ({
  id: "req-1",
  choice: 0,
  model: "m",
  prompt: typeof prompt === "string" ? { kind: "text", text: prompt } : prompt,
  sampling: { ...GREEDY, ...sampling },
  maxTokens: undefined,
  minTokens: 0,
  ignoreEos: false,
  stop: [],
  stopTokenIds: [],
  logprobs: undefined,
  echo: false,
  priority: 0,
  timeoutMs: undefined,
  ...changes,
});
