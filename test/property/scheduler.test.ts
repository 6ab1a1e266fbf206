/** Properties of the scheduler's parts, and of the whole under random commands against a small model of it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type SequenceId, sequenceId, slot, tokenId } from "../../engine/core/brand.ts";
import { uniform } from "../../engine/core/random.ts";
import type { NewSequence, SchedulerEvent } from "../../engine/core/sequence.ts";
import type { StepPlan } from "../../engine/core/step.ts";
import { ChunkCost } from "../../engine/scheduler/chunk-cost.ts";
import { STEPS_PER_CHUNK_MAX } from "../../engine/scheduler/chunk-size.ts";
import { Heap } from "../../engine/scheduler/heap.ts";
import { violations } from "../../engine/scheduler/invariants.ts";
import { Scheduler } from "../../engine/scheduler/scheduler.ts";
import { packRows } from "../../engine/scheduler/slots.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { done, failed, laneLimits, newSequence, tokens } from "../support/scheduler-build.ts";

describe("the heap", () => {
  const command = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant("push" as const), value: fc.integer({ min: 0, max: 50 }) }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("pop" as const), value: fc.constant(0) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("remove" as const), value: fc.nat() }) },
  );

  test("gives the same as a list sorted anew each time, also when items are taken out of its middle", () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 200, size: "max" }), (commands) => {
        const heap = new Heap<{ value: number; id: number }>(
          (a, b) => a.value < b.value || (a.value === b.value && a.id < b.id),
        );
        let model: { value: number; id: number }[] = [];
        for (const [id, { kind, value }] of commands.entries()) {
          if (kind === "push") {
            const item = { value, id };
            heap.push(item);
            model = [...model, item].sort((a, b) => a.value - b.value || a.id - b.id);
          } else if (kind === "pop") {
            expect(heap.pop()).toBe(model.shift());
          } else if (model.length > 0) {
            const [item] = model.splice(value % model.length, 1);
            expect(item !== undefined && heap.remove(item)).toBe(true);
            expect(item !== undefined && heap.remove(item)).toBe(false);
          }
          expect(heap.size).toBe(model.length);
          expect(heap.peek()).toBe(model[0]);
        }
      }),
    );
  });
});

describe("packing", () => {
  const placed = fc
    .uniqueArray(fc.integer({ min: 0, max: 15 }), { maxLength: 16 })
    .map((slots) =>
      slots.map((at, index) => ({ id: sequenceId(index + 1), slot: slot(at), computed: 10 * index + 1 })),
    );

  test("brings every row in front with the fewest tokens copied, never onto a live slot", () => {
    fc.assert(
      fc.property(placed, (rows) => {
        const { order, moves } = packRows(rows);
        const at = new Map(rows.map((row) => [row.slot as number, row.id]));
        for (const move of moves) {
          expect(at.get(move.from)).toBe(move.sequence);
          expect(at.has(move.to)).toBe(false);
          at.delete(move.from);
          at.set(move.to, move.sequence);
        }
        expect(order.map((row) => row.id)).toEqual(rows.map((_, index) => at.get(index)));
        // Whoever stands behind must move once; nobody else needs to.
        const least = rows
          .filter((row) => row.slot >= rows.length)
          .reduce((sum, row) => sum + row.computed, 0);
        expect(moves.reduce((sum, move) => sum + move.tokens, 0)).toBe(least);
      }),
    );
  });
});

describe("a chunk's cost", () => {
  const measured = fc.record({
    count: fc.integer({ min: 1, max: 2_048 }),
    start: fc.integer({ min: 0, max: 8_192 }),
    ms: fc.oneof(fc.double({ min: -1, max: 1e6 }), fc.double({ min: 0.5, max: 500 })),
  });

  test("stays finite and grows with tokens and start, whatever was measured", () => {
    fc.assert(
      fc.property(fc.array(measured, { minLength: 1, maxLength: 60 }), (all) => {
        const cost = new ChunkCost();
        for (const { count, start, ms } of all) cost.observe(count, start, ms);
        const at = (count: number, start: number): number => cost.ms(count, start) ?? 0;
        expect(Number.isFinite(at(512, 1_000))).toBe(true);
        expect(at(1, 0)).toBeGreaterThanOrEqual(0);
        expect(at(16, 0)).toBeGreaterThanOrEqual(at(8, 0));
        expect(at(16, 500)).toBeGreaterThanOrEqual(at(16, 0));
        expect(cost.tokensWithin(10, 0) ?? 0).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

/** What a caller may do, and what may happen to it. */
const order = fc.record({
  prompt: fc.integer({ min: 1, max: 31 }),
  maxTokens: fc.integer({ min: 0, max: 12 }),
  priority: fc.integer({ min: -2, max: 2 }),
  timeoutMs: fc.option(fc.integer({ min: 1, max: 300 }), { nil: undefined, freq: 4 }),
});
const deed = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("add" as const), order }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cancel" as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("stop" as const), which: fc.nat() }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("next" as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("settle" as const), end: fc.integer({ min: 0, max: 9 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("fail" as const), slotsIntact: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 80 }) }),
  },
);
type Deed = typeof deed extends fc.Arbitrary<infer D> ? D : never;

const END = tokenId(1);

/** The scheduler beside what must be true of it: each sequence's own story, told by its events alone. */
class Pair {
  readonly #clock = new FakeClock();
  readonly #limits = laneLimits({
    rowsMax: 3,
    slotTokens: 32,
    waitingMax: 4,
    chunkTokensMin: 2,
    chunkTokensMax: 8,
    stepTokensMax: 9,
  });
  readonly #scheduler = new Scheduler(this.#clock, this.#limits);
  readonly #stories = new Map<SequenceId, { request: NewSequence; answered: number; ended: boolean }>();
  readonly #computed = new Map<SequenceId, number>();
  #plan: StepPlan | undefined;

  do(deed: Deed): void {
    switch (deed.kind) {
      case "add": {
        const request = newSequence({ ...deed.order, prompt: tokens(deed.order.prompt), endTokens: [END] });
        const live = [...this.#stories.values()].filter((story) => !story.ended).length;
        const admission = this.#scheduler.add(request);
        if (admission.kind === "full") expect(live).toBeGreaterThanOrEqual(this.#limits.waitingMax);
        else this.#stories.set(admission.id, { request, answered: 0, ended: false });
        break;
      }
      case "cancel": {
        const id = this.#pick(deed.which);
        this.#scheduler.cancel(id);
        const story = this.#stories.get(id);
        if (story !== undefined) story.ended = true;
        break;
      }
      case "stop":
        this.#scheduler.stop(this.#pick(deed.which));
        break;
      case "next":
        if (this.#plan === undefined) this.#next();
        break;
      case "settle":
        if (this.#plan !== undefined) this.#settle(this.#plan, deed.end === 0 ? END : tokenId(50 + deed.end));
        break;
      case "fail":
        if (this.#plan !== undefined) this.#fail(this.#plan, deed.slotsIntact);
        break;
      case "pass":
        this.#clock.advance(deed.ms);
    }
    expect(violations(this.#scheduler.snapshot())).toEqual([]);
  }

  /** No new work, no faults: all must come to an end. */
  finish(): void {
    if (this.#plan !== undefined) this.#settle(this.#plan, tokenId(50));
    for (let steps = 0; this.#next() !== undefined; steps += 1) {
      expect(steps).toBeLessThan(1_000);
      if (this.#plan !== undefined) this.#settle(this.#plan, tokenId(50));
    }
    expect(this.#scheduler.idle).toBe(true);
    for (const [id, story] of this.#stories) expect(story.ended, `sequence ${id} ended`).toBe(true);
  }

  #pick(which: number): SequenceId {
    return sequenceId(1 + (which % (this.#stories.size + 1)));
  }

  #next(): StepPlan | undefined {
    this.#plan = this.#scheduler.next();
    this.#read(this.#scheduler.takeEvents());
    const plan = this.#plan;
    if (plan === undefined) return undefined;
    for (const { sequence } of plan.openings) this.#computed.set(sequence, 0);
    for (const row of plan.decode) expect(row.position).toBe(this.#computed.get(row.sequence));
    if (plan.chunk !== undefined) expect(plan.chunk.start).toBe(this.#computed.get(plan.chunk.sequence));
    const budget = plan.decode.length + (plan.chunk?.tokens.length ?? 0);
    expect(budget).toBeLessThanOrEqual(this.#limits.stepTokensMax);
    return plan;
  }

  #settle(plan: StepPlan, token: number): void {
    for (const row of plan.decode) this.#computed.set(row.sequence, row.position + 1);
    const { chunk } = plan;
    if (chunk !== undefined) this.#computed.set(chunk.sequence, chunk.start + chunk.tokens.length);
    this.#plan = undefined;
    this.#read(this.#scheduler.settle(plan, done(plan, { token })));
  }

  #fail(plan: StepPlan, slotsIntact: boolean): void {
    this.#plan = undefined;
    this.#read(this.#scheduler.settle(plan, failed(plan, slotsIntact)));
  }

  #read(events: readonly SchedulerEvent[]): void {
    for (const event of events) {
      const story = this.#stories.get(event.sequence);
      if (story === undefined) throw new Error(`an event of the unknown sequence ${event.sequence}`);
      expect(story.ended, `sequence ${event.sequence} has ended, but then came ${event.kind}`).toBe(false);
      if (event.kind === "token") {
        expect(event.index).toBe(story.answered);
        story.answered += 1;
        expect(story.answered).toBeLessThanOrEqual(Math.max(1, story.request.maxTokens));
      }
      if (event.kind === "finished" || event.kind === "failed") story.ended = true;
    }
  }
}

describe("the scheduler", () => {
  test("keeps its invariants and every sequence's story whole under any order of deeds", () => {
    fc.assert(
      fc.property(fc.array(deed, { maxLength: 120 }), (deeds) => {
        const pair = new Pair();
        for (const one of deeds) pair.do(one);
        pair.finish();
      }),
      { numRuns: 400 },
    );
  });

  test("starts every sequence within the stated bound, against a stream of better priorities", () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 0, max: 3 }),
        (seed, rowsMax, priority) => {
          const clock = new FakeClock();
          const limits = laneLimits({
            rowsMax,
            slotTokens: 12,
            waitingMax: 3,
            agingMs: 50,
            chunkTokensMin: 2,
            chunkTokensMax: 4,
          });
          const scheduler = new Scheduler(clock, limits);
          const stepMs = 7;
          const hold =
            STEPS_PER_CHUNK_MAX *
              Math.ceil(
                limits.slotTokens / Math.min(limits.chunkTokensMin, limits.stepTokensMax - rowsMax + 1),
              ) +
            limits.slotTokens;
          const boundMs = priority * limits.agingMs + (limits.waitingMax + rowsMax) * hold * stepMs;
          const fill = (): void => {
            const length = 1 + Math.floor(uniform(seed, clock.now()) * 10);
            while (
              scheduler.add(newSequence({ prompt: tokens(length), maxTokens: 12 - length, priority: 0 }))
                .kind === "queued"
            );
          };
          const own = scheduler.add(newSequence({ priority, maxTokens: 1 }));
          for (let started = false; !started; clock.advance(stepMs)) {
            expect(clock.now() - 1_000).toBeLessThanOrEqual(boundMs);
            fill();
            const plan = scheduler.next();
            if (plan === undefined) throw new Error("a full queue, and nothing to do");
            started = own.kind === "queued" && plan.openings.some((opening) => opening.sequence === own.id);
            scheduler.settle(plan, done(plan));
          }
        },
      ),
    );
  });
});
