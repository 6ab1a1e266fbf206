/**
 * A worker made of arrays. Each slot holds what a KV cache would: which token of which sequence was written
 * at each position. It checks every plan against that, and samples a token as a pure function of what stands
 * in the slot, so any mix-up of slots, positions, moves or order shows as a wrong token.
 */
import { type SequenceId, type TokenId, tokenId } from "../../engine/core/brand.ts";
import type {
  DecodeRow,
  PrefillChunk,
  SampledToken,
  ScoredToken,
  SlotMove,
  StepPlan,
} from "../../engine/core/step.ts";

/** Ends an answer; other sampled tokens lie above it. */
export const END_TOKEN = tokenId(1);

/** The model: the next token after these. About one in 24 is the end token. */
function nextToken(context: readonly TokenId[]): TokenId {
  let hash = 0x811c9dc5;
  for (const token of context) hash = Math.imul(hash ^ token, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b) >>> 0;
  return hash % 24 === 0 ? END_TOKEN : tokenId(2 + (hash % 97));
}

/** What a request gets when it is alone: answer tokens up to `max`, ended by END_TOKEN. */
export function answerAlone(prompt: readonly TokenId[], max: number, ends: boolean): readonly TokenId[] {
  const all = [...prompt];
  while (all.length < prompt.length + max) {
    const token = nextToken(all);
    all.push(token);
    if (ends && token === END_TOKEN) break;
  }
  return all.slice(prompt.length);
}

interface Position {
  readonly sequence: SequenceId;
  readonly token: TokenId;
}

export class ArenaModel {
  readonly #slots: Position[][];
  readonly #slotTokens: number;
  /** Sequences that the worker knows, and the slot that each is in. */
  readonly #open = new Map<SequenceId, number>();
  #steps = 0;

  constructor(rows: number, slotTokens: number) {
    this.#slots = Array.from({ length: rows }, () => []);
    this.#slotTokens = slotTokens;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** A new worker thread: all is gone. */
  reset(): void {
    this.#open.clear();
    for (const positions of this.#slots) positions.length = 0;
  }

  /** Throws a sentence on the first thing in the plan that a real worker could not do or would do wrong. */
  run(plan: StepPlan): {
    readonly sampled: readonly SampledToken[];
    readonly scored: readonly ScoredToken[];
  } {
    check(plan.step > this.#steps, `step ${plan.step} came after step ${this.#steps}`);
    this.#steps = plan.step;
    check(plan.decode.length > 0 || plan.chunk !== undefined, "a plan without work");
    for (const id of plan.closings) this.#open.delete(id);
    for (const move of plan.moves) this.#move(move);
    for (const { sequence, slot } of plan.openings) {
      check(!this.#open.has(sequence), `sequence ${sequence} is opened twice`);
      check(
        ![...this.#open.values()].includes(slot),
        `sequence ${sequence} is opened in slot ${slot}, which is taken`,
      );
      this.#open.set(sequence, slot);
    }
    const sampled = plan.decode.map((row, index) => this.#decode(row, index));
    if (plan.chunk === undefined) return { sampled, scored: [] };
    const { first, scored } = this.#prefill(plan.chunk, plan.decode.length);
    return { sampled: first === undefined ? sampled : [...sampled, first], scored };
  }

  #move({ sequence, from, to, tokens }: SlotMove): void {
    check(
      this.#open.get(sequence) === from,
      `sequence ${sequence} is moved from slot ${from} but is not there`,
    );
    check(![...this.#open.values()].includes(to), `sequence ${sequence} is moved onto a live slot ${to}`);
    this.#holds(sequence, from, tokens);
    this.#slot(to).splice(0, tokens, ...this.#slot(from).slice(0, tokens));
    this.#open.set(sequence, to);
  }

  #decode(row: DecodeRow, index: number): SampledToken {
    check(row.slot === index, `decode row ${index} is in slot ${row.slot}`);
    const context = this.#write(row.sequence, row.slot, row.position, [row.token]);
    return { sequence: row.sequence, token: nextToken(context), scored: undefined };
  }

  #prefill(chunk: PrefillChunk, rows: number) {
    const { sequence, slot, start, tokens, score } = chunk;
    check(slot >= rows, `the chunk's slot ${slot} is among the ${rows} decode rows`);
    check(tokens.length > 0, "a chunk without tokens");
    const context = this.#write(sequence, slot, start, tokens);
    const first = chunk.samples ? { sequence, token: nextToken(context), scored: undefined } : undefined;
    check(
      score === undefined || score.targets.length === tokens.length,
      "a target for each token of a scored chunk",
    );
    const targets = score?.targets.filter((target) => target !== undefined) ?? [];
    return { first, scored: targets.map((token) => ({ token, logprob: -token, top: [] })) };
  }

  /** Returns all tokens that stand in the slot now. */
  #write(
    sequence: SequenceId,
    slot: number,
    position: number,
    tokens: readonly TokenId[],
  ): readonly TokenId[] {
    check(
      this.#open.get(sequence) === slot,
      `sequence ${sequence} computes in slot ${slot} but was not opened there`,
    );
    check(
      position + tokens.length <= this.#slotTokens,
      `sequence ${sequence} writes past the end of its slot`,
    );
    this.#holds(sequence, slot, position);
    const positions = this.#slot(slot);
    positions.length = position; // what stands behind is stale, as in a real cache
    for (const token of tokens) positions.push({ sequence, token });
    return positions.map((written) => written.token);
  }

  #holds(sequence: SequenceId, slot: number, count: number): void {
    const positions = this.#slot(slot);
    check(positions.length >= count, `slot ${slot} holds ${positions.length} tokens, ${count} were expected`);
    const own = positions.slice(0, count).every((position) => position.sequence === sequence);
    check(own, `slot ${slot} holds tokens of another sequence than ${sequence}`);
  }

  #slot(index: number): Position[] {
    const positions = this.#slots[index];
    if (positions === undefined) throw new Error(`slot ${index} does not exist`);
    return positions;
  }
}

function check(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(`bad plan: ${otherwise}`);
}
