/** What a finished step means: sampled tokens become progress, events and, at the end of an answer, a reason. */
import { assert } from "../core/assert.ts";
import type { SequenceId } from "../core/brand.ts";
import type { FinishReason } from "../core/generator.ts";
import type { SchedulerEvent } from "../core/sequence.ts";
import type { PrefillChunk, SampledToken, StepOutcome, StepPlan } from "../core/step.ts";
import { answerTokens, type LiveSequence } from "./live-sequence.ts";

export type Done = Extract<StepOutcome, { kind: "done" }>;
export type Failed = Extract<StepOutcome, { kind: "failed" }>;

/**
 * The sampled tokens in the plan's order: decode rows, then the chunk if it samples. Checks that the worker answered
 * exactly what the plan asked for; the order in which it did so is free.
 */
export function sampledInOrder(plan: StepPlan, outcome: Done): readonly SampledToken[] {
  const { sampled, scored } = outcome;
  const wanted = plan.decode.length + (plan.chunk?.samples ? 1 : 0);
  assert(sampled.length === wanted, `step ${plan.step} wanted ${wanted} tokens, got ${sampled.length}`);
  const targets = plan.chunk?.score?.targets.filter((target) => target !== undefined).length ?? 0;
  assert(scored.length === targets, `step ${plan.step} wanted ${targets} scores, got ${scored.length}`);
  const idAt = (index: number): SequenceId | undefined => (plan.decode[index] ?? plan.chunk)?.sequence;
  if (sampled.every((token, index) => token.sequence === idAt(index))) return sampled;
  const byId = new Map(sampled.map((token) => [token.sequence, token]));
  return sampled.map((_, index) => {
    const token = byId.get(idAt(index) as SequenceId);
    assert(token !== undefined, `step ${plan.step} lacks a token of sequence ${idAt(index)}`);
    return token;
  });
}

/** A new answer token of a sequence; returns why the answer ends with it, undefined if it goes on. */
export function acceptToken(
  live: LiveSequence,
  { token, scored }: SampledToken,
  now: number,
  events: SchedulerEvent[],
): FinishReason | undefined {
  const index = answerTokens(live);
  live.tokens.push(token);
  live.firstTokenAt ??= now;
  live.lastTokenAt = now;
  events.push({ kind: "token", sequence: live.id, token, scored, index });
  // An end token wins over a full answer: the model did come to its end.
  if (live.ends.has(token) && index >= live.request.minTokens) return "stop";
  return index + 1 >= live.answerMax ? "length" : undefined;
}

/**
 * A computed chunk of a prompt; reports the prompt's scores once all of them are there. Returns `length`
 * where the prompt is done and no answer is wanted.
 */
export function acceptChunk(
  live: LiveSequence,
  chunk: PrefillChunk,
  outcome: Done,
  events: SchedulerEvent[],
): FinishReason | undefined {
  live.computed += chunk.tokens.length;
  for (const score of outcome.scored) live.promptScores.push(score);
  if (live.computed < live.request.prompt.length) return undefined;
  if (chunk.score !== undefined) {
    events.push({ kind: "prompt", sequence: live.id, scored: [...live.promptScores] });
  }
  return live.answerMax === 0 ? "length" : undefined;
}
