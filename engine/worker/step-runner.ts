/** Carries out step plans on a loaded model: closings, moves, openings, decode run, chunk run; samples; reports. */
import { assert } from "../core/assert.ts";
import type { SequenceId, Slot } from "../core/brand.ts";
import type { PrefillChunk, SampledToken, ScoredToken, StepOutcome, StepPlan } from "../core/step.ts";
import { type DecoderRunner, WANTED_ROWS_MAX } from "./runner.ts";
import { RowSampler, scoreTarget } from "./sampler.ts";

export class StepRunner {
  readonly #runner: DecoderRunner;
  readonly #now: () => number;
  readonly #samplers = new Map<SequenceId, RowSampler>();
  readonly #slots = new Map<SequenceId, Slot>();

  /** `now` in ms, for the two times that an outcome reports. */
  constructor(runner: DecoderRunner, now: () => number) {
    this.#runner = runner;
    this.#now = now;
  }

  /** Never throws: what fails is an outcome. The other slots' caches are as they were. */
  run(plan: StepPlan): StepOutcome {
    try {
      return this.#run(plan);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { kind: "failed", step: plan.step, slotsIntact: true, message };
    }
  }

  #run(plan: StepPlan): StepOutcome {
    for (const sequence of plan.closings) this.#close(sequence);
    for (const move of plan.moves) {
      this.#runner.move(move.from, move.to, move.tokens);
      this.#slots.set(move.sequence, move.to);
    }
    for (const opening of plan.openings) {
      this.#runner.clear(opening.slot);
      this.#slots.set(opening.sequence, opening.slot);
      this.#samplers.set(opening.sequence, new RowSampler(opening, this.#runner.vocabSize));
    }
    const start = this.#now();
    const { chunk } = plan;
    if (
      chunk?.score === undefined &&
      chunk !== undefined &&
      this.#runner.canShare(plan.decode.length, chunk.tokens.length)
    ) {
      const sampled = this.#share(plan, chunk);
      return {
        kind: "done",
        step: plan.step,
        sampled,
        scored: [],
        decodeMs: this.#now() - start,
        chunkMs: 0,
        shared: true,
      };
    }
    const sampled = this.#decode(plan);
    const between = this.#now();
    const scored = plan.chunk === undefined ? [] : this.#prefill(plan.chunk, sampled);
    const decodeMs = plan.decode.length > 0 ? between - start : 0;
    return { kind: "done", step: plan.step, sampled, scored, decodeMs, chunkMs: this.#now() - between };
  }

  /** Its slot is told to be free: a run that is filled up with it should not attend to what it held. */
  #close(sequence: SequenceId): void {
    this.#samplers.delete(sequence);
    const slot = this.#slots.get(sequence);
    if (slot === undefined) return;
    this.#slots.delete(sequence);
    this.#runner.clear(slot);
  }

  /** Decode rows and chunk in one run: the weights are read once for both. */
  #share(plan: StepPlan, chunk: PrefillChunk): SampledToken[] {
    checkSlots(plan);
    this.#samplerOf(chunk.sequence).observePrompt(chunk.tokens);
    const { rows, last } = this.#runner.share(
      plan.decode.map((row) => row.token),
      plan.decode.map((row) => row.position),
      chunk,
      chunk.samples,
    );
    const sampled = plan.decode.map((row, index) => this.#sample(row.sequence, rows[index]));
    if (chunk.samples) sampled.push(this.#sample(chunk.sequence, last));
    return sampled;
  }

  #decode(plan: StepPlan): SampledToken[] {
    if (plan.decode.length === 0) return [];
    checkSlots(plan);
    const logits = this.#runner.decode(
      plan.decode.map((row) => row.token),
      plan.decode.map((row) => row.position),
    );
    return plan.decode.map((row, index) => this.#sample(row.sequence, logits[index]));
  }

  #prefill(chunk: PrefillChunk, sampled: SampledToken[]): ScoredToken[] {
    this.#samplerOf(chunk.sequence).observePrompt(chunk.tokens);
    const scored: ScoredToken[] = [];
    // Scoring wants every row's logits: the chunk is cut so that they fit the buffer (chunking does not change a bit).
    const piece = chunk.score === undefined ? chunk.tokens.length : WANTED_ROWS_MAX;
    for (let from = 0; from < chunk.tokens.length; from += piece) {
      const tokens = chunk.tokens.slice(from, from + piece);
      const wanted = chunk.score === undefined ? [tokens.length - 1] : tokens.map((_, index) => index);
      const rows = this.#runner.prefill(chunk.slot, chunk.start + from, tokens, wanted);
      for (const [index, row] of rows.entries()) {
        const target = chunk.score?.targets[from + index];
        if (target !== undefined) scored.push(scoreTarget(row, target, chunk.score?.alternatives ?? 0));
      }
      const last = from + tokens.length === chunk.tokens.length;
      if (last && chunk.samples) sampled.push(this.#sample(chunk.sequence, rows.at(-1)));
    }
    return scored;
  }

  #sample(sequence: SequenceId, logits: Float32Array | undefined): SampledToken {
    assert(logits !== undefined, "a sampled row has logits");
    const { token, scored } = this.#samplerOf(sequence).sample(logits);
    return { sequence, token, scored };
  }

  #samplerOf(sequence: SequenceId): RowSampler {
    const sampler = this.#samplers.get(sequence);
    assert(sampler !== undefined, `sequence ${sequence} was not opened`);
    return sampler;
  }
}

function checkSlots(plan: StepPlan): void {
  for (const [index, row] of plan.decode.entries()) {
    assert(row.slot === index, "decode rows must fill slots from 0 on");
  }
}
