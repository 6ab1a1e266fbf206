/**
 * The real scheduler on a machine whose times are formulas plus seeded noise: rows decode undisturbed, then a
 * long prompt comes. Gives the gaps between tokens before and during it, and its time to the first token
 * against its time alone.
 */
import type { SequenceId } from "../../engine/core/brand.ts";
import type { LaneLimits } from "../../engine/core/limits.ts";
import { uniform } from "../../engine/core/random.ts";
import type { NewSequence, SchedulerEvent } from "../../engine/core/sequence.ts";
import { Scheduler } from "../../engine/scheduler/scheduler.ts";
import { FakeClock } from "./fake-clock.ts";
import { done, laneLimits, newSequence, tokens } from "./scheduler-build.ts";

export interface Machine {
  /** `context`: positions that the rows hold, on average. */
  readonly decodeMs: (rows: number, context: number) => number;
  readonly chunkMs: (tokens: number, start: number) => number;
  /** Where rows and a chunk share a run: what the chunk adds to it. */
  readonly sharedMs?: (tokens: number, start: number) => number;
  /** Standard deviation of a run's time, as a share of it. */
  readonly noise: number;
}

export interface Latency {
  /** p95 of the gaps while the prompt is computed, over the p95 of the gaps before. */
  readonly gapStretch: number;
  /** The longest gap while the prompt is computed, over the p95 of the gaps before. */
  readonly worstStretch: number;
  /** Time to first token over that of the same prompt alone. */
  readonly firstTokenStretch: number;
  /** Sizes of the chunks of the prompt, in order. */
  readonly chunks: readonly number[];
}

const LIMITS = laneLimits({
  rowsMax: 16,
  slotTokens: 40_000,
  stepTokensMax: 528,
  chunkTokensMax: 512,
  chunkTokensMin: 4,
  waitingMax: 64,
});
const PROMPT_TOKENS = 1_500;
const UNDISTURBED_STEPS = 300;

export function measureLatency(
  machine: Machine,
  rows: number,
  seed: number,
  limits: Partial<LaneLimits> = {},
  promptTokens = PROMPT_TOKENS,
): Latency {
  const bench = new Bench(machine, seed, { ...LIMITS, ...limits });
  const aloneMs = bench.firstToken(bench.add({ prompt: tokens(promptTokens), maxTokens: 1 })).ms;
  // One after the other: with prompts waiting behind, chunks follow the crowd's rule instead.
  for (let running = 1; running <= rows; running += 1) {
    bench.add({ prompt: tokens(60), maxTokens: 30_000 });
    while (bench.scheduler.snapshot().running.length < running) bench.step();
  }
  const before = Array.from({ length: UNDISTURBED_STEPS }, () => bench.step().ms);
  const { ms, gaps, chunks } = bench.firstToken(bench.add({ prompt: tokens(promptTokens), maxTokens: 1 }));
  const usual = percentile(before, 0.95);
  return {
    gapStretch: percentile(gaps, 0.95) / usual,
    worstStretch: Math.max(...gaps) / usual,
    firstTokenStretch: ms / aloneMs,
    chunks,
  };
}

class Bench {
  readonly clock = new FakeClock();
  readonly scheduler: Scheduler;
  readonly #machine: Machine;
  readonly #seed: number;
  #draws = 0;

  constructor(machine: Machine, seed: number, limits: LaneLimits) {
    this.#machine = machine;
    this.#seed = seed;
    this.scheduler = new Scheduler(this.clock, limits);
  }

  add(sequence: Partial<NewSequence>): SequenceId {
    const admission = this.scheduler.add(newSequence(sequence));
    if (admission.kind === "full") throw new Error("the queue was full");
    return admission.id;
  }

  step(): { readonly ms: number; readonly chunk: number; readonly events: readonly SchedulerEvent[] } {
    const plan = this.scheduler.next();
    if (plan === undefined) throw new Error("there was nothing to do");
    const { decode, chunk } = plan;
    const { sharedMs } = this.#machine;
    const shared = sharedMs !== undefined && chunk !== undefined && decode.length > 0;
    const context = decode.reduce((sum, row) => sum + row.position, 0) / decode.length;
    const rowsMs = decode.length === 0 ? 0 : this.#machine.decodeMs(decode.length, context);
    const addedMs = shared ? sharedMs(chunk.tokens.length, chunk.start) : 0;
    const decodeMs = (rowsMs + addedMs) * this.#noise();
    const chunkMs =
      chunk === undefined || shared
        ? 0
        : this.#machine.chunkMs(chunk.tokens.length, chunk.start) * this.#noise();
    const ms = decodeMs + chunkMs;
    this.clock.advance(ms);
    const events = this.scheduler.settle(plan, done(plan, { decodeMs, chunkMs, shared }));
    return { ms, chunk: chunk?.tokens.length ?? 0, events };
  }

  firstToken(id: SequenceId) {
    const gaps: number[] = [];
    const chunks: number[] = [];
    const from = this.clock.now();
    for (let came = false; !came; ) {
      const { ms, chunk, events } = this.step();
      gaps.push(ms);
      chunks.push(chunk);
      came = events.some((event) => event.kind === "token" && event.sequence === id);
    }
    return { ms: this.clock.now() - from, gaps, chunks };
  }

  /** About log-normal around 1: twelve uniform draws minus six are close to a standard normal. */
  #noise(): number {
    let normal = -6;
    for (let i = 0; i < 12; i += 1) {
      this.#draws += 1;
      normal += uniform(this.#seed, this.#draws);
    }
    return Math.exp(this.#machine.noise * normal);
  }
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
