/** One step of one lane as plain data: what crosses the border between the scheduler and the worker thread. */
import type { SequenceId, Slot, StepId, TokenId } from "./brand.ts";
import type { Sampling } from "./request.ts";

/** Tells the worker all it needs to sample for a sequence; sent once, in the step that first computes one of its tokens. */
export interface SequenceOpening {
  readonly sequence: SequenceId;
  readonly slot: Slot;
  readonly sampling: Sampling;
  /** Alternatives to report per sampled token; undefined = no log-probabilities. */
  readonly logprobs: number | undefined;
  /** These may not be sampled while the answer has fewer than `minTokens` tokens. */
  readonly endTokens: readonly TokenId[];
  readonly minTokens: number;
}

/** A row's cache is copied: the first `tokens` positions of slot `from` to slot `to`. Keeps running rows packed in front. */
export interface SlotMove {
  readonly sequence: SequenceId;
  readonly from: Slot;
  readonly to: Slot;
  readonly tokens: number;
}

/** One running sequence: `token` is computed at `position` (= tokens already in the slot), and the next one is sampled. */
export interface DecodeRow {
  readonly sequence: SequenceId;
  readonly slot: Slot;
  readonly token: TokenId;
  readonly position: number;
}

/** Part of one prompt: tokens go to positions start .. start + tokens.length - 1 of the slot. */
export interface PrefillChunk {
  readonly sequence: SequenceId;
  readonly slot: Slot;
  readonly start: number;
  readonly tokens: readonly TokenId[];
  /** True for the prompt's last chunk: the first answer token is sampled after it (unless `score` says no answer). */
  readonly samples: boolean;
  /**
   * Undefined: only the wanted row goes through the head. Otherwise the log-probability of each token that FOLLOWS a row
   * of this chunk is reported: `targets[i]` is the prompt's token after tokens[i], undefined after the last one.
   */
  readonly score:
    | { readonly targets: readonly (TokenId | undefined)[]; readonly alternatives: number }
    | undefined;
}

/**
 * In this order: closings, moves, openings, then the decode run over slots 0 .. decode.length - 1 (decode[i].slot === i)
 * and the chunk run. At least one of `decode` and `chunk` holds work.
 */
export interface StepPlan {
  readonly step: StepId;
  readonly closings: readonly SequenceId[];
  readonly moves: readonly SlotMove[];
  readonly openings: readonly SequenceOpening[];
  readonly decode: readonly DecodeRow[];
  readonly chunk: PrefillChunk | undefined;
}

export interface ScoredToken {
  readonly token: TokenId;
  readonly logprob: number;
  readonly top: readonly { readonly token: TokenId; readonly logprob: number }[];
}

export interface SampledToken {
  readonly sequence: SequenceId;
  readonly token: TokenId;
  /** Only where the sequence was opened with `logprobs`. */
  readonly scored: ScoredToken | undefined;
}

export type StepOutcome =
  | {
      readonly kind: "done";
      readonly step: StepId;
      /** One for each decode row, and one for a chunk that samples. */
      readonly sampled: readonly SampledToken[];
      /** One for each target of the chunk's `score` that is not undefined. */
      readonly scored: readonly ScoredToken[];
      /** Wall time of each run in ms; 0 where there was none. */
      readonly decodeMs: number;
      readonly chunkMs: number;
      /** Rows and chunk went through in one run: its time stands in `decodeMs`, `chunkMs` is 0. */
      readonly shared?: boolean;
    }
  /** The step failed. Where the thread lives on, other sequences' caches may be intact; otherwise all is lost. */
  | {
      readonly kind: "failed";
      readonly step: StepId;
      readonly slotsIntact: boolean;
      readonly message: string;
    };
