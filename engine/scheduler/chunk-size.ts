/**
 * How many prompt tokens the next step computes beside its decode rows; plan.ts says why it is done this way.
 *
 * With nobody decoding: as many as the limits allow. While n rows decode, p95 of the time between their tokens is to stay
 * within interTokenStretchMax times what it is without a prompt, and the prompt within PREFILL_STRETCH times its time
 * alone. A p95 sees nothing of one step in twenty, so there are three kinds of steps:
 *
 *   regular   a chunk that keeps the step within the bound by measured costs. How near to the bound it aims follows
 *             from how often such steps turned out to be over it: SPILL_SHARE of them may. Where not even chunkTokensMin
 *             tokens fit, none: behind a long context a chunk of two costs nearly as much as one of eight.
 *   burst     one step in BURST_EVERY takes a chunk that is far over the bound, just large enough that the prompt is
 *             done in time, at most BURST_STRETCH times the bound; where the prompt is late already, as long as it takes.
 *   alone     one step in ALONE_EVERY takes none, since a shared run does not show what its rows alone would take, and
 *             that grows with their contexts.
 *
 * While further prompts wait for slots that are free, the bound is stretched with their number: a row that joins a step
 * later costs everybody more than a longer step (the batch runs half empty meanwhile).
 */
import type { LaneLimits } from "../core/limits.ts";
import type { PrefillChunk, StepOutcome, StepPlan } from "../core/step.ts";
import { ChunkCost } from "./chunk-cost.ts";
import { DecodeCost } from "./decode-cost.ts";

/** A prompt should be computed within this many times its time alone: a little less than the promise of 3. */
const PREFILL_STRETCH = 2.6;

/** Of the decoding steps, one in so many may be a burst; of the others, this share may be over the bound. */
const BURST_EVERY = 31;
const SPILL_SHARE = 0.01;
/** A burst may take this many times the bound of a regular step. */
const BURST_STRETCH = 9;

/**
 * A regular step aims below the bound, so far that noise takes SPILL_SHARE of such steps over it. Were noise Gaussian in
 * the logarithm, this power of the 95th percentile would be the 99th (2.33 / 1.645).
 */
const P99_POWER = 1.42;
/** Of what that leaves beside the rows, the share that is used: at first, at least, at most. */
const AIM = { first: 0.9, least: 0.5, most: 1 };
/** How much less is aimed at after a step over the bound. Each one within it gives back SPILL_SHARE of that. */
const AIM_STEP = 0.05;

/** Rows' own growth since the prompt began counts as disturbance, up to this much. */
const GROWTH_MAX = 1.25;

/** With others waiting for free slots, the bound may grow to this many times itself. */
const CROWD_STRETCH_MAX = 4;

/** Of a shared run's time, what is at least the chunk's: a run that was quicker than its rows alone is noise. */
const SHARE_LEAST = 0.05;

/** Shared runs in a row at most, before the rows are timed alone again. */
const ALONE_EVERY = 24;

/** Of so many steps in a row, one at least has a chunk of chunkTokensMin tokens while a prompt is being read. */
export const STEPS_PER_CHUNK_MAX = BURST_EVERY + 1;

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
  /** Decoding steps since the last burst; the first one may come at once. */
  #sinceBurst = BURST_EVERY;
  #aim: number = AIM.first;
  /** By rows: ms of a run over them when the prompt began, which is what the bound is taken from. */
  #undisturbed: (number | undefined)[] = [];
  /** What the regular step that is being carried out is to keep to, in ms; undefined for every other step. */
  #bound: number | undefined;

  constructor(limits: LaneLimits) {
    this.#limits = limits;
  }

  observe(plan: StepPlan, outcome: Extract<StepOutcome, { kind: "done" }>): void {
    const { chunk } = plan;
    const rows = plan.decode.length;
    this.#follow(outcome.decodeMs + outcome.chunkMs);
    if (rows > 0) this.#sinceBurst += 1;
    if (outcome.shared === true && chunk !== undefined)
      return this.#observeShared(rows, chunk, outcome.decodeMs);
    if (rows > 0) {
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
    this.#shared.observe(length, chunk.start, Math.max(ms - decodeMs, SHARE_LEAST * ms));
  }

  /** Within the limits on chunks and steps; 0 where this step is to have no chunk, though a prompt is there. */
  tokens(ask: ChunkAsk): number {
    this.#bound = undefined;
    const { chunkTokensMax, chunkTokensMin, stepTokensMax, interTokenStretchMax } = this.#limits;
    const most = Math.min(ask.prompt - ask.start, chunkTokensMax, stepTokensMax - ask.rows);
    if (ask.rows === 0) return most;
    if (this.#sinceAlone >= ALONE_EVERY) return 0;
    const least = Math.min(most, chunkTokensMin);
    const decodeMs = this.#decode.ms(ask.rows);
    const cost = this.#besideRows(ask.scored);
    if (decodeMs === undefined || cost.ms(1, 0) === undefined) return least;
    if (ask.start === 0) this.#undisturbed = [];
    const undisturbedMs = this.#undisturbed[ask.rows] ?? decodeMs;
    this.#undisturbed[ask.rows] = undisturbedMs;
    const { slowness } = this.#decode;
    const within = (ms: number): number =>
      Math.min(most, rounded(cost.tokensWithin(ms - decodeMs, ask.start) ?? 0));
    const crowd = Math.min(CROWD_STRETCH_MAX, 1 + ask.queued / ask.rows);
    const bound = crowd * interTokenStretchMax * Math.max(undisturbedMs, decodeMs / GROWTH_MAX) * slowness;
    const fitting = within(decodeMs + this.#aim * (bound / slowness ** P99_POWER - decodeMs));
    if (crowd > 1) return Math.max(least, fitting);
    const regular = fitting < least ? 0 : fitting;
    // Where the aim is too low for any chunk, none shows whether it still has to be.
    if (regular === 0)
      this.#aim = Math.min(Math.max(AIM.first, this.#aim), this.#aim + SPILL_SHARE * AIM_STEP);
    if (this.#sinceBurst >= BURST_EVERY) {
      // What has been read took too long already: then no gap is too long for a burst to catch up in. One burst more or
      // less is no lateness.
      const late =
        ask.elapsedMs - BURST_EVERY * bound > PREFILL_STRETCH * this.#aloneMs(ask.start, ask.scored);
      const burst = Math.min(
        late ? most : within(BURST_STRETCH * bound),
        this.#burst(ask, regular, decodeMs),
      );
      // A prompt never stands still, whatever its chunks are thought to cost.
      if (burst > regular || regular === 0) {
        this.#sinceBurst = 0;
        return Math.max(least, burst);
      }
    }
    if (regular > 0) this.#bound = bound;
    return regular;
  }

  /** A step over its bound makes the next ones aim lower, all others a little higher: in balance at SPILL_SHARE. */
  #follow(stepMs: number): void {
    if (this.#bound === undefined) return;
    this.#aim += stepMs > this.#bound ? -AIM_STEP : SPILL_SHARE * AIM_STEP;
    this.#aim = Math.min(AIM.most, Math.max(AIM.least, this.#aim));
    this.#bound = undefined;
  }

  /** The chunk that, taken once in BURST_EVERY steps, lets the prompt be done in time; `regular` if it is anyway. */
  #burst(ask: ChunkAsk, regular: number, decodeMs: number): number {
    const cost = this.#besideRows(ask.scored);
    const middle = (ask.start + ask.prompt) / 2;
    const regularMs = decodeMs + (regular === 0 ? 0 : (cost.ms(regular, middle) ?? 0));
    const left = ask.prompt - ask.start;
    const leftMs = Math.max(1, PREFILL_STRETCH * this.#aloneMs(ask.prompt, ask.scored) - ask.elapsedMs);
    const others = BURST_EVERY - 1;
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

  /** Expected time of a prompt's first `tokens` with nobody decoding. */
  #aloneMs(tokens: number, scored: boolean): number {
    const { chunkTokensMax } = this.#limits;
    const cost = this.#costOf(scored);
    let ms = 0;
    for (let start = 0; start < tokens; start += chunkTokensMax)
      ms += cost.ms(Math.min(chunkTokensMax, tokens - start), start) ?? 0;
    return ms;
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
