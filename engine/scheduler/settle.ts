/** What a finished step means: sampled tokens become progress, events and, at the end of an answer, a reason. */
import { assert } from "../core/assert.ts";
import type { SequenceId } from "../core/brand.ts";
import type { FinishReason } from "../core/generator.ts";
import type { SchedulerEvent } from "../core/sequence.ts";
import type { PrefillChunk, SampledToken, StepOutcome, StepPlan } from "../core/step.ts";
import { answerTokens, type LiveSequence } from "./live-sequence.ts";

export type Done = Extract<StepOutcome, { kind: "done" }>;

export interface Progress {
  readonly events: readonly SchedulerEvent[];
  /** Why the answer ends here; undefined if it goes on. */
  readonly ends: FinishReason | undefined;
}

/** By sequence; checks that the worker answered exactly what the plan asked for. */
export function sampledBySequence(plan: StepPlan, outcome: Done): ReadonlyMap<SequenceId, SampledToken> {
  const sampled = new Map(outcome.sampled.map((token) => [token.sequence, token]));
  const wanted = plan.decode.length + (plan.chunk?.samples ? 1 : 0);
  assert(
    outcome.sampled.length === wanted,
    `step ${plan.step} wanted ${wanted} tokens, got ${outcome.sampled.length}`,
  );
  for (const row of plan.decode)
    assert(sampled.has(row.sequence), `step ${plan.step} lacks a token of ${row.sequence}`);
  if (plan.chunk?.samples)
    assert(sampled.has(plan.chunk.sequence), `step ${plan.step} lacks its prompt's first token`);
  const targets = plan.chunk?.score?.targets.filter((target) => target !== undefined).length ?? 0;
  assert(
    outcome.scored.length === targets,
    `step ${plan.step} wanted ${targets} scores, got ${outcome.scored.length}`,
  );
  return sampled;
}

/** A new answer token of a sequence. */
export function acceptToken(live: LiveSequence, sampled: SampledToken, now: number): Progress {
  const index = answerTokens(live);
  live.tokens.push(sampled.token);
  live.firstTokenAt ??= now;
  live.lastTokenAt = now;
  const { id } = live;
  return {
    events: [{ kind: "token", sequence: id, token: sampled.token, scored: sampled.scored, index }],
    ends: endOf(live, sampled, index + 1),
  };
}

/** An end token wins over a full answer: the model did come to its end. */
function endOf(live: LiveSequence, sampled: SampledToken, answered: number): FinishReason | undefined {
  if (live.ends.has(sampled.token) && answered > live.request.minTokens) return "stop";
  return answered >= live.answerMax ? "length" : undefined;
}

/** A computed chunk of a prompt; the events hold the prompt's scores once all of them are there. */
export function acceptChunk(live: LiveSequence, chunk: PrefillChunk, outcome: Done): Progress {
  live.computed += chunk.tokens.length;
  live.promptScores.push(...outcome.scored);
  const complete = live.computed === live.request.prompt.length;
  const scored = complete && live.request.promptLogprobs !== undefined;
  return {
    events: scored ? [{ kind: "prompt", sequence: live.id, scored: [...live.promptScores] }] : [],
    ends: complete && live.answerMax === 0 ? "length" : undefined,
  };
}
