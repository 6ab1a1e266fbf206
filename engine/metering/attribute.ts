/**
 * One step's energy and time to the rows that it computed. A step takes a + sum(b * n + g * n * c) over its rows, with n new
 * tokens of a row in a context of c: reading the weights once for all (a), each token's own products (b), and its attention
 * (g). The Shapley value of that is exact and cheap: an equal share of a, and each row's own terms.
 */

import type { SequenceId } from "../core/brand.ts";
import { type Energy, microjoules, splitExactly } from "../core/energy.ts";
import type { StepPlan } from "../core/step.ts";

export interface RowWork {
  readonly sequence: SequenceId;
  readonly tokens: number;
  /** Sum over its new tokens of the positions that each attends to, itself included. */
  readonly attended: number;
}

/** What a step of a lane takes, in any unit of cost; none is negative. */
export interface StepCoefficients {
  readonly perStep: number;
  readonly perToken: number;
  readonly perAttended: number;
}

/** The rows of a step: its decode rows, and the chunk as one. */
export function rowsOf({ decode, chunk }: Pick<StepPlan, "decode" | "chunk">): readonly RowWork[] {
  const rows = decode.map(({ sequence, position }) => ({ sequence, tokens: 1, attended: position + 1 }));
  if (chunk === undefined) return rows;
  const { sequence, start, tokens } = chunk;
  const count = tokens.length;
  return [...rows, { sequence, tokens: count, attended: count * start + (count * (count + 1)) / 2 }];
}

/** Each row's Shapley value; they add up to the whole step's cost. */
export const shares = (
  rows: readonly RowWork[],
  { perStep, perToken, perAttended }: StepCoefficients,
): readonly number[] =>
  rows.map(({ tokens, attended }) => perStep / rows.length + perToken * tokens + perAttended * attended);

/** An energy in whole parts that add up to it, bounds too. */
export function splitEnergy(
  { uj, lowUj, highUj, tier }: Energy,
  weights: readonly number[],
): readonly Energy[] {
  const [parts, lows, highs] = [uj, lowUj, highUj].map((total) => splitExactly(total, weights));
  return weights.map((_, index) => ({
    uj: microjoules(parts?.[index] ?? 0),
    lowUj: microjoules(lows?.[index] ?? 0),
    highUj: microjoules(highs?.[index] ?? 0),
    tier,
  }));
}
