/**
 * Logits row -> token, seeded by position: logit_bias, penalties, the ban on early end tokens, temperature, top_k, top_p,
 * min_p, draw. Runs in the lane's thread, once a row and step. A row is edited while a call runs and is left as it was.
 */
import { assert } from "../core/assert.ts";
import { type TokenId, tokenId } from "../core/brand.ts";
import { uniform } from "../core/random.ts";
import type { Sampling } from "../core/request.ts";
import type { ScoredToken, SequenceOpening } from "../core/step.ts";
import { BUCKETS_PER_NAT, fillMasses, HORIZON, VOCAB_MAX } from "./sampling/buckets.ts";
import { draw, TEMPERATURE_MIN } from "./sampling/draw.ts";
import { TokenHistory } from "./sampling/history.ts";
import { RowEdits } from "./sampling/row-edits.ts";
import { argmax, TOP_LIST_MAX, TopList } from "./sampling/scan.ts";

/** Shared by all rows of the thread: a call never yields, so nobody sees another's scratch. */
const edits = new RowEdits();
const top = new TopList();

/** One per sequence, made when the sequence opens. */
export class RowSampler {
  readonly #sampling: Sampling;
  readonly #bias: readonly (readonly [TokenId, number])[];
  readonly #endTokens: readonly TokenId[];
  readonly #minTokens: number;
  readonly #alternatives: number | undefined;
  readonly #vocabSize: number;
  /** Undefined where no penalty reads it. */
  readonly #history: TokenHistory | undefined;
  #generated = 0;

  constructor(opening: SequenceOpening, vocabSize: number) {
    assert(
      vocabSize > 0 && vocabSize <= VOCAB_MAX,
      `a vocabulary has 1 to ${VOCAB_MAX} tokens, not ${vocabSize}`,
    );
    const inVocabulary = (id: TokenId): boolean => id >= 0 && id < vocabSize;
    const { sampling } = opening;
    this.#sampling = sampling;
    this.#bias = sampling.logitBias.filter(([id]) => inVocabulary(id));
    this.#endTokens = opening.endTokens.filter(inVocabulary);
    this.#minTokens = opening.minTokens;
    this.#alternatives = opening.logprobs;
    this.#vocabSize = vocabSize;
    const { repetitionPenalty, presencePenalty, frequencyPenalty } = sampling;
    const penalised = repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0;
    this.#history = penalised ? new TokenHistory() : undefined;
  }

  /** Tokens sampled so far: the next one's position in the answer. */
  get generated(): number {
    return this.#generated;
  }

  /** Every prompt token once, in chunks or at once, before the first sample: repetition_penalty reads them. */
  observePrompt(tokens: readonly TokenId[]): void {
    if (this.#history === undefined || this.#sampling.repetitionPenalty === 1) return;
    for (const token of tokens) {
      assert(
        token >= 0 && token < this.#vocabSize,
        `prompt token ${token} is not in the vocabulary of ${this.#vocabSize}`,
      );
      this.#history.addPrompt(token);
    }
  }

  /**
   * Draws the next token and records it. `logits` has vocabSize entries and holds the same values before and after the
   * call. `scored` is of the model's own distribution: before bias, penalties and temperature. Throws an Error, and
   * records nothing, where a logit is NaN or +Infinity or none is above -Infinity.
   */
  sample(logits: Float32Array): { token: TokenId; scored: ScoredToken | undefined } {
    assert(logits.length === this.#vocabSize, `a row has ${this.#vocabSize} logits, not ${logits.length}`);
    const token = tokenId(this.#pick(logits));
    const scored =
      this.#alternatives === undefined ? undefined : scoreTarget(logits, token, this.#alternatives);
    this.#history?.addAnswer(token);
    this.#generated += 1;
    return { token, scored };
  }

  #pick(logits: Float32Array): number {
    try {
      this.#bend(logits);
      const bent = edits.size;
      if (this.#generated < this.#minTokens) {
        for (const id of this.#endTokens) edits.set(logits, id, -Infinity);
      }
      let best = argmax(logits);
      if (best === -1 && edits.size > bent) {
        // Only end tokens are possible, so the ban would leave nothing to say: it yields.
        edits.undoTo(logits, bent);
        best = argmax(logits);
      }
      if (best === -1) throw new Error("no token can be sampled: every logit of the row is -Infinity");
      if (this.#sampling.temperature < TEMPERATURE_MIN) return best;
      return draw(logits, best, this.#sampling, uniform(this.#sampling.seed, this.#generated));
    } finally {
      edits.undoTo(logits, 0);
    }
  }

  /** Bias, then penalties: repetition over prompt and answer, presence and frequency over the answer. */
  #bend(logits: Float32Array): void {
    for (const [id, bias] of this.#bias) edits.set(logits, id, (logits[id] as number) + bias);
    const history = this.#history;
    if (history === undefined) return;
    const { repetitionPenalty, presencePenalty, frequencyPenalty } = this.#sampling;
    for (let place = 0; place < history.size; place += 1) {
      const id = history.idAt(place);
      const count = history.answerCountAt(place);
      const logit = logits[id] as number;
      const repeated = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
      edits.set(logits, id, count === 0 ? repeated : repeated - presencePenalty - frequencyPenalty * count);
    }
  }
}

/**
 * The natural log-probability of `target` under the row's softmax, and of the `alternatives` most likely tokens, best
 * first, ties by the smaller id. Only reads the row. Throws an Error on NaN, +Infinity, or a row of -Infinity alone.
 */
export function scoreTarget(logits: Float32Array, target: TokenId, alternatives: number): ScoredToken {
  assert(
    alternatives >= 0 && alternatives <= TOP_LIST_MAX,
    `alternatives must be 0 to ${TOP_LIST_MAX}, not ${alternatives}`,
  );
  assert(target >= 0 && target < logits.length, `token ${target} is not in a row of ${logits.length} logits`);
  const best = argmax(logits);
  if (best === -1) throw new Error("no token can be scored: every logit of the row is -Infinity");
  const max = logits[best] as number;
  const normaliser = Math.log(fillMasses({ row: logits, max, scale: BUCKETS_PER_NAT, limit: HORIZON }));
  const logprobOf = (logit: number): number => logit - max - normaliser;
  if (alternatives > 0) top.fill(logits, Math.min(alternatives, logits.length));
  return {
    token: target,
    logprob: logprobOf(logits[target] as number),
    top: Array.from({ length: alternatives > 0 ? top.size : 0 }, (_, rank) => ({
      token: tokenId(top.ids[rank] as number),
      logprob: logprobOf(top.values[rank] as number),
    })),
  };
}
