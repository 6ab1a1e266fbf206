/**
 * A lane whose slots hold prompts already, so that a bench need not compute a context anew for every figure. It stands
 * between the real scheduler and the real lane: steps that only repeat what the cache holds are answered at once, with the
 * prompt's own next tokens; every other step goes through, to the worker thread and back.
 */
import { sequenceId, slot, stepId, type TokenId } from "../../engine/core/brand.ts";
import type { Lane } from "../../engine/core/lane.ts";
import type { SampledToken, StepOutcome, StepPlan } from "../../engine/core/step.ts";
import { GREEDY } from "../../test/support/requests.ts";

type Owed = Pick<StepPlan, "closings" | "moves" | "openings">;
const NOTHING: Owed = { closings: [], moves: [], openings: [] };

export class FilledLane implements Lane {
  readonly #lane: Lane;
  /** One a slot, a token longer than the context. */
  readonly #prompts: readonly (readonly TokenId[])[];
  readonly #context: number;
  /** What answered steps would have told the worker. */
  #owed: Owed = NOTHING;

  constructor(lane: Lane, prompts: readonly (readonly TokenId[])[], context: number) {
    this.#lane = lane;
    this.#prompts = prompts;
    this.#context = context;
  }

  /** Computes the prompts into their slots, in chunks of `chunk` tokens. */
  async fill(chunk: number): Promise<void> {
    let step = 0;
    for (const [index, prompt] of this.#prompts.entries()) {
      const sequence = sequenceId(index + 1);
      for (let start = 0; start < this.#context; start += chunk) {
        const tokens = prompt.slice(start, Math.min(start + chunk, this.#context));
        const first = { sequence, slot: slot(index), sampling: GREEDY, logprobs: undefined };
        step += 1;
        const outcome = await this.#lane.run({
          step: stepId(step),
          closings: [],
          moves: [],
          openings: start === 0 ? [{ ...first, endTokens: [], minTokens: 0 }] : [],
          decode: [],
          chunk: { sequence, slot: slot(index), start, tokens, samples: false, score: undefined },
        });
        if (outcome.kind === "failed") throw new Error(`filling slot ${index}: ${outcome.message}`);
      }
    }
  }

  run(plan: StepPlan): Promise<StepOutcome> {
    const repeated = this.#repeated(plan);
    const { closings, moves, openings } = this.#owed;
    const whole: Owed = {
      closings: [...closings, ...plan.closings],
      moves: [...moves, ...plan.moves],
      openings: [...openings, ...plan.openings],
    };
    this.#owed = repeated === undefined ? NOTHING : whole;
    if (repeated === undefined) return this.#lane.run({ ...plan, ...whole });
    return Promise.resolve({
      kind: "done",
      step: plan.step,
      sampled: repeated,
      scored: [],
      decodeMs: plan.decode.length > 0 ? 1 : 0,
      chunkMs: plan.chunk === undefined ? 0 : 1,
    });
  }

  revive(): Promise<void> {
    return Promise.reject(new Error("a bench's lane does not come back: its cache is gone"));
  }

  close(): Promise<void> {
    return this.#lane.close();
  }

  /** The prompts' next tokens where all that the step computes is in the cache; undefined where something is new. */
  #repeated({ decode, chunk }: StepPlan): readonly SampledToken[] | undefined {
    const rows = decode.map(({ sequence, slot: at, position }) => ({ sequence, at, next: position + 1 }));
    if (chunk !== undefined) {
      const next = chunk.start + chunk.tokens.length;
      rows.push({ sequence: chunk.sequence, at: chunk.slot, next });
    }
    if (rows.some(({ next }) => next > this.#context)) return undefined;
    return rows.map(({ sequence, at, next }) => ({
      sequence,
      token: this.#prompts[at]?.[next] as TokenId,
      scored: undefined,
    }));
  }
}
