/** weir as it is served by default: its limits, and the plain request that benches send. */
import { type TokenId, tokenId } from "../../engine/core/brand.ts";
import type { Clock } from "../../engine/core/clock.ts";
import type { LaneLimits } from "../../engine/core/limits.ts";
import { uniform } from "../../engine/core/random.ts";
import type { NewSequence } from "../../engine/core/sequence.ts";
import { laneLimits } from "../../server/config/lane-limits.ts";
import { loadConfig } from "../../server/config.ts";
import { newSequence } from "../../test/support/scheduler-build.ts";

export const clock: Clock = { now: () => performance.now(), wall: () => Date.now() };

/** The configuration's defaults, whatever this machine's files and variables say. */
export function servedLimits(contextLength: number): LaneLimits {
  const home = import.meta.dirname;
  return laneLimits(loadConfig({ env: { WEIR_HOME: home }, cwd: home }).engine, contextLength);
}

/** Greedy, and never at an end before `maxTokens`. */
export const plainSequence = (prompt: readonly TokenId[], maxTokens: number): NewSequence =>
  newSequence({ prompt, maxTokens });

/** `index` seeds it: other prompts share no beginning with it. Special tokens, last in the vocabulary, are left out. */
export const randomPrompt = (index: number, length: number, vocabSize: number): readonly TokenId[] =>
  Array.from({ length }, (_, position) => tokenId(Math.floor(uniform(index, position) * (vocabSize - 64))));
