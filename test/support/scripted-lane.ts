/**
 * A lane without a model, for tests of what stands around it. The next token is a pure function of the sequence's tokens
 * so far, so an answer can be told in advance. Steps can be held, slowed and failed, and the lane can die.
 */
import { setImmediate as turn } from "node:timers/promises";
import { assert } from "../../engine/core/assert.ts";
import { type SequenceId, type TokenId, tokenId } from "../../engine/core/brand.ts";
import type { Lane } from "../../engine/core/lane.ts";
import type {
  PrefillChunk,
  SampledToken,
  ScoredToken,
  SequenceOpening,
  StepOutcome,
  StepPlan,
} from "../../engine/core/step.ts";
import { BYTES, END, VOCABULARY } from "./scripted-lane-codec.ts";

/** `context`: prompt and answer so far. `answered`: how many of them are the answer's. */
export type NextToken = (context: readonly TokenId[], answered: number) => TokenId;

/** About one in 24 is the end token; the others are bytes of ASCII letters and spaces. */
export const hashed: NextToken = (context) => {
  let hash = 0x811c9dc5;
  for (const token of context) hash = Math.imul(hash ^ token, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b) >>> 0;
  const letter = 0x60 + (hash % 27);
  return hash % 24 === 5 ? END : tokenId(BYTES + (letter === 0x60 ? 0x20 : letter));
};

/** Every answer is this text, then the end token. */
export const says = (text: string): NextToken => {
  const bytes = Buffer.from(text, "utf8");
  return (_, answered) => {
    const byte = bytes[answered];
    return byte === undefined ? END : tokenId(BYTES + byte);
  };
};

/** The log-probability that the lane reports of a token behind a context. */
const logprobOf = (context: readonly TokenId[], token: TokenId): number =>
  -((context.length * 7 + token) % 50) / 10;

export type Fault = { readonly slotsIntact: boolean; readonly message: string };

export interface LaneScript {
  readonly next?: NextToken;
  /** Called before each step, in the turn in which it was planned unless steps are held; a fault is the step's outcome. */
  readonly before?: (plan: StepPlan) => Fault | undefined | Promise<Fault | undefined>;
  /** Called by each revive, counted from 1; may throw. */
  readonly onRevive?: (attempt: number) => void | Promise<void>;
}

interface Open {
  readonly opening: SequenceOpening;
  readonly promptTokens: number;
  readonly tokens: TokenId[];
}

export class ScriptedLane implements Lane {
  readonly #script: LaneScript;
  readonly #open = new Map<SequenceId, Open>();
  #gate: PromiseWithResolvers<void> | undefined;
  #state: "alive" | "running" | "dead" | "closed" = "alive";
  /** The steps so far. */
  readonly plans: StepPlan[] = [];
  revives = 0;

  constructor(script: LaneScript = {}) {
    this.#script = script;
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  /** Sequences that the worker knows. */
  get known(): readonly SequenceId[] {
    return [...this.#open.keys()];
  }

  /** From now on steps wait at their beginning, until release(). */
  hold(): void {
    this.#gate ??= Promise.withResolvers();
  }

  release(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  async run(plan: StepPlan): Promise<StepOutcome> {
    assert(this.#state === "alive", `a step was asked of a lane that is ${this.#state}`);
    this.#state = "running";
    this.plans.push(plan);
    if (this.#gate !== undefined) await this.#gate.promise;
    const fault = await this.#script.before?.(plan);
    // A step takes a turn of the event loop at least, as with a thread: readers see each token by itself.
    await turn();
    this.#state = fault?.slotsIntact === false ? "dead" : "alive";
    if (fault !== undefined) return { kind: "failed", step: plan.step, ...fault };
    for (const sequence of plan.closings) this.#open.delete(sequence);
    for (const opening of plan.openings) {
      assert(!this.#open.has(opening.sequence), `sequence ${opening.sequence} is opened twice`);
      this.#open.set(opening.sequence, { opening, promptTokens: 0, tokens: [] });
    }
    const sampled = plan.decode.map((row, index) => {
      assert(row.slot === index, "decode rows fill slots from 0 on");
      return this.#decode(row.sequence, row.position, row.token);
    });
    const scored = plan.chunk === undefined ? [] : this.#prefill(plan.chunk, sampled);
    const decodeMs = plan.decode.length === 0 ? 0 : 1;
    return {
      kind: "done",
      step: plan.step,
      sampled,
      scored,
      decodeMs,
      chunkMs: plan.chunk === undefined ? 0 : 1,
    };
  }

  async revive(): Promise<void> {
    assert(this.#state === "dead", `a lane was revived that is ${this.#state}`);
    this.revives += 1;
    await this.#script.onRevive?.(this.revives);
    this.#open.clear();
    this.#state = "alive";
  }

  async close(): Promise<void> {
    assert(this.#state !== "running", "a lane was closed while a step ran");
    this.#state = "closed";
  }

  #decode(sequence: SequenceId, position: number, token: TokenId): SampledToken {
    const open = this.#opened(sequence);
    assert(
      open.tokens.length === position,
      `sequence ${sequence} holds ${open.tokens.length}, not ${position}`,
    );
    open.tokens.push(token);
    return this.#sample(sequence, open);
  }

  #prefill(chunk: PrefillChunk, sampled: SampledToken[]): ScoredToken[] {
    const { sequence, start, tokens, score } = chunk;
    const open = this.#opened(sequence);
    assert(open.tokens.length === start, `sequence ${sequence} holds ${open.tokens.length}, not ${start}`);
    open.tokens.push(...tokens);
    const whole = { ...open, promptTokens: open.tokens.length };
    this.#open.set(sequence, whole);
    if (chunk.samples) sampled.push(this.#sample(sequence, whole));
    if (score === undefined) return [];
    return score.targets.flatMap((target, index) =>
      target === undefined
        ? []
        : [scoredToken(open.tokens.slice(0, start + index + 1), target, score.alternatives)],
    );
  }

  #sample(sequence: SequenceId, { opening, promptTokens, tokens }: Open): SampledToken {
    const { next = hashed } = this.#script;
    const answered = tokens.length - promptTokens;
    const wanted = next(tokens, answered);
    const banned = answered < opening.minTokens && opening.endTokens.includes(wanted);
    // Any other token will do, as long as it follows from the context.
    const token = banned ? tokenId(BYTES + 0x2d) : wanted;
    const { logprobs } = opening;
    return {
      sequence,
      token,
      scored: logprobs === undefined ? undefined : scoredToken(tokens, token, logprobs),
    };
  }

  #opened(sequence: SequenceId): Open {
    const open = this.#open.get(sequence);
    assert(open !== undefined, `sequence ${sequence} was not opened`);
    return open;
  }
}

const scoredToken = (context: readonly TokenId[], token: TokenId, alternatives: number): ScoredToken => ({
  token,
  logprob: logprobOf(context, token),
  top: Array.from({ length: alternatives }, (_, rank) => {
    const other = tokenId((token + rank) % VOCABULARY);
    return { token: other, logprob: logprobOf(context, other) };
  }),
});

/** What a request gets alone: answer tokens up to `max`, the end token included unless it is ignored. */
export function answerAlone(
  next: NextToken,
  prompt: readonly TokenId[],
  max: number,
  ends: boolean,
): readonly TokenId[] {
  const all = [...prompt];
  for (let answered = 0; answered < max; answered += 1) {
    const token = next(all, answered);
    all.push(token);
    if (ends && token === END) break;
  }
  return all.slice(prompt.length);
}
