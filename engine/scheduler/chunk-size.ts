/**
 * How many prompt tokens the next step computes. With nobody decoding: as many as the limits allow. While rows decode, as
 * many as keep  decodeMs + chunkMs <= interTokenStretchMax * decodeMs  by what steps were measured to cost, so that no row
 * waits longer for its next token than the bound, however long the prompt is; but never fewer than chunkTokensMin.
 */
import type { LaneLimits } from "../core/limits.ts";
import type { StepCosts } from "./step-costs.ts";

export interface ChunkAsk {
  /** Rows that decode in the same step. */
  readonly rows: number;
  /** Positions of the prompt that are computed already. */
  readonly start: number;
  /** Prompt tokens that are not; at least 1. */
  readonly left: number;
}

/** At least 1. */
export function chunkTokens(ask: ChunkAsk, costs: StepCosts, limits: LaneLimits): number {
  const most = Math.min(ask.left, limits.chunkTokensMax, limits.stepTokensMax - ask.rows);
  if (ask.rows === 0) return most;
  const decodeMs = costs.decodeMs(ask.rows);
  const fitting =
    decodeMs === undefined
      ? undefined
      : costs.tokensWithin((limits.interTokenStretchMax - 1) * decodeMs, ask.start);
  return Math.min(most, Math.max(limits.chunkTokensMin, rounded(fitting ?? 0)));
}

/** Kernels like multiples of 8: rounds down to 8, 4 or 2 where that loses less than an eighth, else to a whole number. */
function rounded(tokens: number): number {
  const unit = [8, 4, 2].find((size) => tokens >= 8 * size) ?? 1;
  return Math.floor(tokens / unit) * unit;
}
