/**
 * How many prompt tokens the next step computes beside its decode rows; plan.ts says why it is done this way.
 *
 * With nobody decoding: as many as the limits allow. While n rows decode:
 *
 *   regular   as many as keep  decodeMs(n) + chunkMs <= interTokenStretchMax * decodeMs(n)  by measured costs, at least
 *             chunkTokensMin; so the usual gap between two tokens of a row stays within the bound.
 *   crowd     while further prompts wait for slots that are free, the bound is stretched with their number: a row that
 *             joins a step later costs everybody more than a longer step (the batch runs half empty meanwhile).
 *   burst     where prompts cannot be done within PREFILL_STRETCH times their time alone that way (the weights are
 *             read for a few tokens only, over and over), one step in 1 / BURST_SHARE takes a chunk just large enough
 *             for that: the p95 of the gaps does not see it. Such a step takes at most BURST_STRETCH times the bound.
 *
 * Bursts are paid from a credit. Each decoding step pays in BURST_SHARE, up to one burst; each step over the
 * bound, burst or noise, takes out one. So when the machine is noisy by itself there are no bursts on top.
 */
import type { LaneLimits } from "../core/limits.ts";
import type { PrefillChunk, StepOutcome, StepPlan } from "../core/step.ts";
import { ChunkCost } from "./chunk-cost.ts";
import { DecodeCost } from "./decode-cost.ts";

/**
 * A prompt should be computed within this many times its time alone. The aim is a little lower than the
 * promise of 3.
 */
const PREFILL_STRETCH = 2.7;
/** Of the steps, those that may be over the bound on purpose; 5 % would be all that p95 allows. */
const BURST_SHARE = 1 / 25;
/** A burst may take this many times the bound of a usual step. */
const BURST_STRETCH = 4;
/** Debt from steps that were over the bound by noise: at most this many bursts are lost to it. */
const DEBT_MAX = 2;

/** With others waiting for free slots, the bound may grow to this many times itself. */
const CROWD_STRETCH_MAX = 4;

/** Of a shared run's time, what is at least the chunk's: a run that was quicker than its rows alone is noise. */
const SHARE_LEAST = 0.05;

/** Shared runs in a row at most, before the rows are timed alone again. */
const ALONE_EVERY = 12;

/**
 * Of the time that the bound leaves beside the rows, the share that is aimed at in shared runs: what the rows alone would
 * have taken is an estimate there, and lags behind their growing contexts.
 */
const SHARED_AIM = 0.8;

/** A chunk's time may vary by this much without being news. */
const NOISE = 1.2;

export interface ChunkAsk {
  /** Rows that decode in the same step. */
  readonly rows: number;
  /** Tokens of the whole prompt. */
  readonly prompt: number;
  /** How many of them are computed already; fewer than all. */
  readonly start: number;
  /** Every row of the chunk goes through the head, which costs more. */
  readonly scored: boolean;
  /** Further prompts that could have a slot now. */
  readonly queued: number;
  /** Since the prompt got its slot, in ms. */
  readonly elapsedMs: number;
}

export class ChunkSizer {
  readonly #limits: LaneLimits;
  readonly #decode = new DecodeCost();
  readonly #plain = new ChunkCost();
  readonly #scored = new ChunkCost();
  /** Chunks that go through a run together with rows: they need not read the weights again. */
  readonly #shared = new ChunkCost();
  /** Shared runs since rows were last timed alone. */
  #sinceAlone = 0;
  /** In bursts: from -DEBT_MAX to 1. */
  #credit = 0;

  constructor(limits: LaneLimits) {
    this.#limits = limits;
  }

  observe(plan: StepPlan, outcome: Extract<StepOutcome, { kind: "done" }>): void {
    const { chunk } = plan;
    const rows = plan.decode.length;
    if (outcome.shared === true && chunk !== undefined)
      return this.#observeShared(rows, chunk, outcome.decodeMs);
    if (rows > 0) {
      this.#pay(rows, chunk, outcome.decodeMs + outcome.chunkMs);
      this.#decode.observe(rows, outcome.decodeMs, chunk !== undefined);
      this.#sinceAlone = 0;
    }
    if (chunk === undefined) return;
    this.#costOf(chunk.score !== undefined).observe(chunk.tokens.length, chunk.start, outcome.chunkMs);
  }

  /** One run did both: what it took beyond the rows alone is the chunk's. */
  #observeShared(rows: number, chunk: PrefillChunk, ms: number): void {
    const known = this.#decode.ms(rows);
    const { length } = chunk.tokens;
    // Before any run of rows alone: by their share of the tokens, until one comes.
    const decodeMs = known ?? (ms * rows) / (rows + length);
    if (known === undefined) this.#decode.observe(rows, decodeMs, true);
    this.#sinceAlone += 1;
    this.#pay(rows, chunk, ms);
    this.#shared.observe(length, chunk.start, Math.max(ms - decodeMs, SHARE_LEAST * ms));
  }

  /**
   * Within the limits on chunks and steps. 0 where rows decode and a step without a chunk is due: shared runs do not
   * show what the rows alone take, and that grows with their contexts.
   */
  tokens(ask: ChunkAsk): number {
    if (ask.rows > 0 && this.#sinceAlone >= ALONE_EVERY) return 0;
    const { chunkTokensMax, chunkTokensMin, stepTokensMax, interTokenStretchMax } = this.#limits;
    const most = Math.min(ask.prompt - ask.start, chunkTokensMax, stepTokensMax - ask.rows);
    const decodeMs = this.#decode.ms(ask.rows);
    if (ask.rows === 0) return most;
    const cost = this.#besideRows(ask.scored);
    const fitting = (stretch: number): number =>
      decodeMs === undefined ? 0 : (cost.tokensWithin((stretch - 1) * decodeMs, ask.start) ?? 0);
    const bound = interTokenStretchMax * Math.min(CROWD_STRETCH_MAX, 1 + ask.queued / ask.rows);
    const stretch = cost === this.#shared ? 1 + SHARED_AIM * (bound - 1) : bound;
    const regular = Math.min(most, Math.max(chunkTokensMin, rounded(fitting(stretch))));
    if (this.#credit < 1 || decodeMs === undefined) return regular;
    const burstMax = Math.min(most, rounded(fitting(BURST_STRETCH * interTokenStretchMax)));
    return Math.max(regular, Math.min(burstMax, this.#burst(ask, regular, decodeMs)));
  }

  /**
   * The chunk that, taken once in 1 / BURST_SHARE steps, lets the prompt be done in time; `regular` if it is
   * anyway.
   */
  #burst(ask: ChunkAsk, regular: number, decodeMs: number): number {
    const cost = this.#besideRows(ask.scored);
    const middle = (ask.start + ask.prompt) / 2;
    const regularMs = decodeMs + (cost.ms(regular, middle) ?? 0);
    const left = ask.prompt - ask.start;
    const leftMs = Math.max(
      1,
      PREFILL_STRETCH * this.#aloneMs(ask, this.#costOf(ask.scored)) - ask.elapsedMs,
    );
    const others = 1 / BURST_SHARE - 1;
    const fixedMs = cost.ms(0, middle) ?? 0;
    const perTokenMs = (cost.ms(1, middle) ?? 0) - fixedMs;
    const rate = left / leftMs;
    // others * regular + n tokens  must come in  others * regularMs + decodeMs + fixedMs + n * perTokenMs  at `rate`.
    const lacking = rate * (others * regularMs + decodeMs + fixedMs) - others * regular;
    const gain = 1 - rate * perTokenMs;
    if (gain <= 0) return Number.POSITIVE_INFINITY;
    const needed = lacking / gain;
    return needed <= regular ? regular : 4 * Math.ceil(needed / 4);
  }

  /** Expected time of the whole prompt with nobody decoding. */
  #aloneMs(ask: ChunkAsk, cost: ChunkCost): number {
    let ms = 0;
    for (let start = 0; start < ask.prompt; start += this.#limits.chunkTokensMax) {
      ms += cost.ms(Math.min(this.#limits.chunkTokensMax, ask.prompt - start), start) ?? 0;
    }
    return ms;
  }

  #pay(rows: number, chunk: PrefillChunk | undefined, stepMs: number): void {
    const slowMs = this.#decode.msP95(rows);
    if (slowMs === undefined) return;
    const { interTokenStretchMax, chunkTokensMin } = this.#limits;
    // Where even the shortest chunk is over the bound, that is no news: only what is worse counts.
    const least =
      chunk === undefined ? 0 : this.#besideRows(chunk.score !== undefined).ms(chunkTokensMin, chunk.start);
    const bound = Math.max(interTokenStretchMax * slowMs, NOISE * (slowMs + (least ?? 0)));
    const credit = stepMs > bound ? this.#credit - 1 : this.#credit + BURST_SHARE;
    this.#credit = Math.min(1, Math.max(-DEBT_MAX, credit));
  }

  /** What a chunk costs beside rows: shared runs where there were any. Scored chunks are never shared. */
  #besideRows(scored: boolean): ChunkCost {
    return !scored && this.#shared.ms(1, 0) !== undefined ? this.#shared : this.#costOf(scored);
  }

  #costOf(scored: boolean): ChunkCost {
    return scored ? this.#scored : this.#plain;
  }
}

/**
 * Rounds down to sizes that kernels like. Measured on a 135M model (4-bit, one thread): 9 tokens cost more
 * than 10, 14 more than 16, 17 more than 20, 33 as much as 40. So even numbers, from 12 on multiples of 4,
 * from 64 on multiples of 8.
 */
function rounded(tokens: number): number {
  const unit = tokens >= 64 ? 8 : tokens >= 12 ? 4 : 2;
  return tokens < 2 ? Math.floor(tokens) : Math.floor(tokens / unit) * unit;
}
