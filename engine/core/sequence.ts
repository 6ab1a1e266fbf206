/**
 * A sequence is one choice of one request inside one scheduler: what goes in, what may be seen of it, what
 * comes out.
 */
import type { SequenceId, Slot, TokenId } from "./brand.ts";
import type { ErrorCode } from "./errors.ts";
import type { FinishReason } from "./generator.ts";
import type { Sampling } from "./request.ts";
import type { ScoredToken } from "./step.ts";

/** What the scheduler needs to know of a generation; text has become tokens, defaults are filled in. */
export interface NewSequence {
  /** At least one token, and fewer than a slot holds. */
  readonly prompt: readonly TokenId[];
  /** Answer tokens at most; prompt and answer are clipped to a slot. 0 = only compute (and score) the prompt. */
  readonly maxTokens: number;
  /** Neither an end token nor a stop token is sampled before the answer has this many tokens. */
  readonly minTokens: number;
  readonly sampling: Sampling;
  /** Any of these ends the answer; empty where the request ignores them. */
  readonly endTokens: readonly TokenId[];
  /** Any of these ends the answer, whatever `endTokens` says. */
  readonly stopTokens: readonly TokenId[];
  /** Smaller runs sooner. */
  readonly priority: number;
  /** From arrival to the last token, in ms; undefined, or above the lane's own limit, means the lane's limit. */
  readonly timeoutMs: number | undefined;
  /** Alternatives to report per answer token; undefined = no log-probabilities. */
  readonly logprobs: number | undefined;
  /** Alternatives to report per prompt token; undefined = the prompt is not scored. */
  readonly promptLogprobs: number | undefined;
}

/** Where a sequence stands. An ended one is no longer in the scheduler, so it has no phase. */
export type Phase =
  | { readonly kind: "waiting" }
  /** Holds a slot; its prompt is being computed chunk by chunk. */
  | { readonly kind: "prefilling"; readonly slot: Slot }
  /** Holds a slot; has at least one answer token, and one token that is not computed yet: its last. */
  | { readonly kind: "running"; readonly slot: Slot };

/** A sequence as others may see it: numbers only, a copy. */
export interface SequenceView {
  readonly id: SequenceId;
  readonly phase: Phase;
  readonly promptTokens: number;
  readonly answerTokens: number;
  /** Answer tokens it may have, after clipping to the slot. */
  readonly answerMax: number;
  /** Tokens whose keys and values stand in its slot. Work left = promptTokens + answerTokens - computed. */
  readonly computed: number;
  readonly priority: number;
  /** Clock.now() of its arrival. */
  readonly arrivedAt: number;
  /** How often a failed step sent it back to the queue. */
  readonly retries: number;
}

/** In ms. A failed attempt that was retried counts as queueing. */
export interface SequenceTimes {
  /** From arrival to the step that first computed a token of it. */
  readonly queueMs: number;
  /** From there to the first answer token (to the end of the prompt where no answer is wanted). */
  readonly prefillMs: number;
  /** From the first answer token to the last. */
  readonly decodeMs: number;
}

export type Admission =
  | { readonly kind: "queued"; readonly id: SequenceId }
  /** Refused; a place in the queue is likely to be free after this long, in ms. */
  | { readonly kind: "full"; readonly retryAfterMs: number };

/**
 * For one sequence, in this order: at most one `prompt`, its `token`s, then exactly one of `finished` and `failed`. A
 * cancelled sequence is the exception: from the call of cancel() on there is no event of it at all.
 */
export type SchedulerEvent =
  /** An answer token; the end or stop token that ends the answer is reported too. `index` counts from 0. */
  | {
      readonly kind: "token";
      readonly sequence: SequenceId;
      readonly token: TokenId;
      readonly scored: ScoredToken | undefined;
      readonly index: number;
    }
  /** The whole prompt's scores, once, where they were asked for: scored[i] belongs to prompt[i + 1]. */
  | { readonly kind: "prompt"; readonly sequence: SequenceId; readonly scored: readonly ScoredToken[] }
  | {
      readonly kind: "finished";
      readonly sequence: SequenceId;
      readonly reason: FinishReason;
      readonly times: SequenceTimes;
    }
  | {
      readonly kind: "failed";
      readonly sequence: SequenceId;
      readonly code: ErrorCode;
      readonly message: string;
    };
