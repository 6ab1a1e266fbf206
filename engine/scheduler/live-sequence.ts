/**
 * A sequence as the scheduler keeps it while it lives. Only files of this folder hold one, so they alone
 * write to it.
 */
import { AssertionError, assert } from "../core/assert.ts";
import type { SequenceId, Slot, TokenId } from "../core/brand.ts";
import type { LaneLimits } from "../core/limits.ts";
import type { NewSequence, Phase, SequenceTimes, SequenceView } from "../core/sequence.ts";
import type { ScoredToken } from "../core/step.ts";

/** A failed step sends a sequence back to the queue at most this often. */
export const RETRIES_MAX = 2;

export interface LiveSequence {
  readonly id: SequenceId;
  readonly request: NewSequence;
  readonly priority: number;
  /** End tokens and stop tokens together. */
  readonly ends: ReadonlySet<TokenId>;
  /** Answer tokens at most: maxTokens, clipped to the slot. */
  readonly answerMax: number;
  readonly arrivedAt: number;
  /** Clock.now() from which it is too late. */
  readonly deadline: number;
  /** Prompt, then answer. */
  readonly tokens: TokenId[];
  /** How many of them stand in the slot. */
  computed: number;
  phase: Phase;
  retries: number;
  /** When it last got a slot. */
  startedAt: number;
  firstTokenAt: number | undefined;
  lastTokenAt: number | undefined;
  /** So far, where the prompt is scored. */
  readonly promptScores: ScoredToken[];
}

export function createLive(
  id: SequenceId,
  request: NewSequence,
  now: number,
  limits: LaneLimits,
): LiveSequence {
  const { prompt, maxTokens, minTokens, priority } = request;
  assert(prompt.length >= 1, "a sequence needs a prompt of at least one token");
  assert(
    prompt.length < limits.slotTokens,
    `a prompt of ${prompt.length} tokens does not fit a slot of ${limits.slotTokens}`,
  );
  assert(
    Number.isInteger(maxTokens) && maxTokens >= 0,
    `maxTokens must be a whole number from 0, it is ${maxTokens}`,
  );
  assert(
    Number.isInteger(minTokens) && minTokens >= 0,
    `minTokens must be a whole number from 0, it is ${minTokens}`,
  );
  assert(Number.isFinite(priority), `priority must be a finite number, it is ${priority}`);
  return {
    id,
    request,
    priority,
    ends: new Set([...request.endTokens, ...request.stopTokens]),
    answerMax: Math.min(maxTokens, limits.slotTokens - prompt.length),
    arrivedAt: now,
    deadline: now + Math.min(request.timeoutMs ?? limits.requestTimeoutMs, limits.requestTimeoutMs),
    tokens: [...prompt],
    computed: 0,
    phase: { kind: "waiting" },
    retries: 0,
    startedAt: now,
    firstTokenAt: undefined,
    lastTokenAt: undefined,
    promptScores: [],
  };
}

export const answerTokens = (live: LiveSequence): number => live.tokens.length - live.request.prompt.length;

export function slotOf(live: LiveSequence): Slot {
  if (live.phase.kind === "waiting")
    throw new AssertionError(`sequence ${live.id} is waiting, it has no slot`);
  return live.phase.slot;
}

/** Back to the state of its arrival; its place in the queue stays that of its arrival too. */
export function rewind(live: LiveSequence): void {
  assert(answerTokens(live) === 0, `sequence ${live.id} has streamed tokens, it cannot start again`);
  live.computed = 0;
  live.phase = { kind: "waiting" };
  live.retries += 1;
  live.promptScores.length = 0;
}

export function timesOf(live: LiveSequence, now: number): SequenceTimes {
  const started = live.phase.kind === "waiting" ? now : live.startedAt;
  const first = live.firstTokenAt ?? now;
  return {
    queueMs: started - live.arrivedAt,
    prefillMs: first - started,
    decodeMs: (live.lastTokenAt ?? first) - first,
  };
}

export function viewOf(live: LiveSequence): SequenceView {
  return {
    id: live.id,
    phase: { ...live.phase },
    promptTokens: live.request.prompt.length,
    answerTokens: answerTokens(live),
    answerMax: live.answerMax,
    computed: live.computed,
    priority: live.priority,
    arrivedAt: live.arrivedAt,
    retries: live.retries,
  };
}
