/** The scheduler's small parts, each alone. */
import { describe, expect, test } from "vitest";
import { sequenceId, slot } from "../../engine/core/brand.ts";
import type { SequenceView } from "../../engine/core/sequence.ts";
import { type SchedulerSnapshot, violations } from "../../engine/scheduler/invariants.ts";
import { ServiceRate } from "../../engine/scheduler/service-rate.ts";
import { packRows } from "../../engine/scheduler/slots.ts";
import { PRIORITY_SPAN, type Queued, WaitingQueue } from "../../engine/scheduler/waiting-queue.ts";
import { laneLimits } from "../support/scheduler-build.ts";

describe("the waiting queue", () => {
  const AGING_MS = 100;
  const drain = (...items: Queued[]): readonly number[] => {
    const queue = new WaitingQueue<Queued>(AGING_MS);
    for (const item of items) queue.add(item);
    return items.map(() => queue.take()?.id ?? 0);
  };

  test("gives the earlier arrival first among equals, and the smaller id among twins", () => {
    expect(
      drain(
        { id: 3, priority: 0, arrivedAt: 20 },
        { id: 2, priority: 0, arrivedAt: 10 },
        { id: 1, priority: 0, arrivedAt: 10 },
      ),
    ).toEqual([1, 2, 3]);
  });

  test("gives the smaller priority first", () => {
    expect(drain({ id: 1, priority: 1, arrivedAt: 0 }, { id: 2, priority: 0, arrivedAt: 50 })).toEqual([
      2, 1,
    ]);
  });

  test("lets a sequence gain one level for each agingMs it has waited", () => {
    const old = { id: 1, priority: 2, arrivedAt: 0 };
    expect(drain(old, { id: 2, priority: 0, arrivedAt: 2 * AGING_MS - 1 })).toEqual([2, 1]);
    expect(drain(old, { id: 2, priority: 0, arrivedAt: 2 * AGING_MS })).toEqual([1, 2]);
  });

  test("bounds the head start that a priority can give", () => {
    const greedy = { id: 2, priority: -1e12, arrivedAt: PRIORITY_SPAN * AGING_MS };
    expect(drain({ id: 1, priority: 0, arrivedAt: 0 }, greedy)).toEqual([1, 2]);
  });

  test("forgets what is removed, and says whether it was there", () => {
    const queue = new WaitingQueue<Queued>(AGING_MS);
    const item = { id: 1, priority: 0, arrivedAt: 0 };
    queue.add(item);
    expect(queue.remove(item)).toBe(true);
    expect(queue.remove(item)).toBe(false);
    expect(queue.take()).toBeUndefined();
    expect(queue.size).toBe(0);
  });
});

describe("packing", () => {
  const row = (id: number, at: number, computed = 10) => ({ id: sequenceId(id), slot: slot(at), computed });

  test("leaves rows alone that stand in front already, in whatever order they are given", () => {
    const { order, moves } = packRows([row(2, 1), row(1, 0)]);
    expect(order.map((placed) => placed.id)).toEqual([1, 2]);
    expect(moves).toEqual([]);
  });

  test("moves the last row, with the tokens it has, into the hole", () => {
    const { order, moves } = packRows([row(1, 0), row(3, 2, 33)]);
    expect(order.map((placed) => placed.id)).toEqual([1, 3]);
    expect(moves).toEqual([{ sequence: 3, from: 2, to: 1, tokens: 33 }]);
  });

  test("fills several holes with one move each", () => {
    const { moves } = packRows([row(2, 1), row(4, 3), row(6, 5), row(7, 6)]);
    expect(moves.map(({ from, to }) => [from, to])).toEqual([
      [5, 0],
      [6, 2],
    ]);
  });
});

describe("the service rate", () => {
  test("guesses a second before anything is known", () => {
    expect(new ServiceRate().refuse()).toBe(1_000);
  });

  test("tells each refused client a turn later, and forgets one with each departure", () => {
    const rate = new ServiceRate();
    rate.begin(0);
    rate.departed(1, 200);
    expect([rate.refuse(), rate.refuse(), rate.refuse()]).toEqual([200, 400, 600]);
    rate.departed(2, 600);
    expect(rate.refuse()).toBe(400);
  });

  test("shares an interval among those that ended together", () => {
    const rate = new ServiceRate();
    rate.begin(0);
    rate.departed(4, 800);
    expect(rate.refuse()).toBe(200);
  });

  test("does not count a pause as slowness", () => {
    const rate = new ServiceRate();
    rate.begin(0);
    rate.departed(1, 100);
    rate.begin(1_000_000);
    rate.departed(1, 1_000_100);
    expect(rate.refuse()).toBe(100);
  });

  test("counts a bounded number of refusals: 128 choices of one request do not make the next client wait 128 turns", () => {
    const rate = new ServiceRate();
    rate.begin(0);
    rate.departed(1, 100);
    for (let choice = 0; choice < 128; choice += 1) rate.refuse();
    expect(rate.refuse()).toBe(3_200);
    rate.departed(30, 3_100);
    expect(rate.refuse()).toBe(300);
  });

  test("keeps to 50 ms at least and a minute at most", () => {
    const rate = new ServiceRate();
    rate.begin(0);
    rate.departed(1, 1);
    expect(rate.refuse()).toBe(50);
    rate.departed(1, 1_000_000);
    expect(rate.refuse()).toBe(60_000);
  });
});

describe("the invariants", () => {
  const view = (some: Partial<SequenceView>): SequenceView => ({
    id: sequenceId(1),
    phase: { kind: "waiting" },
    promptTokens: 5,
    answerTokens: 0,
    answerMax: 8,
    computed: 0,
    priority: 0,
    arrivedAt: 0,
    retries: 0,
    ...some,
  });
  const running = (id: number, at: number, some: Partial<SequenceView> = {}): SequenceView =>
    view({
      id: sequenceId(id),
      phase: { kind: "running", slot: slot(at) },
      answerTokens: 1,
      computed: 5,
      ...some,
    });
  const prefilling = (id: number, at: number, some: Partial<SequenceView> = {}): SequenceView =>
    view({ id: sequenceId(id), phase: { kind: "prefilling", slot: slot(at) }, computed: 2, ...some });

  const snapshot = (some: Partial<SchedulerSnapshot>): SchedulerSnapshot => {
    const limits = laneLimits({ rowsMax: 2, waitingMax: 1, slotTokens: 16 });
    const holders = [...(some.running ?? []), ...(some.prefilling === undefined ? [] : [some.prefilling])];
    return {
      limits,
      stepping: true,
      slotsUsed: holders.length,
      tokensCached: holders.reduce((sum, holder) => sum + holder.computed, 0),
      tokensCapacity: limits.rowsMax * limits.slotTokens,
      waiting: [],
      running: [],
      prefilling: undefined,
      ...some,
    };
  };

  test("hold for an empty lane, and for a busy one", () => {
    expect(violations(snapshot({}))).toEqual([]);
    const busy = snapshot({
      running: [running(1, 0)],
      prefilling: prefilling(2, 1),
      waiting: [view({ id: sequenceId(3) })],
    });
    expect(violations(busy)).toEqual([]);
  });

  test("allow a hole between two steps, but not in a step", () => {
    expect(violations(snapshot({ running: [running(1, 1)], stepping: false }))).toEqual([]);
    expect(violations(snapshot({ running: [running(1, 1)] }))).toEqual([
      "the running rows are not packed in front",
    ]);
  });

  test.each<[string, Partial<SchedulerSnapshot>]>([
    ["in two places", { running: [running(1, 0)], waiting: [view({ id: sequenceId(1) })] }],
    ["slots used", { running: [running(1, 0)], slotsUsed: 0 }],
    ["cached tokens do not add up", { running: [running(1, 0)], tokensCached: 4 }],
    ["room for", { running: [running(1, 0)], tokensCapacity: 4 }],
    [
      "hold 2 slots",
      { running: [running(1, 0), running(2, 1)], prefilling: prefilling(3, 1), stepping: false },
    ],
    ["too many are waiting", { waiting: [1, 2, 3, 4].map((id) => view({ id: sequenceId(id) })) }],
    ["two owners", { running: [running(1, 0), running(2, 0)], stepping: false }],
    ["does not exist", { prefilling: prefilling(1, 2) }],
    ["packed in front", { running: [running(1, 0)], prefilling: prefilling(2, 0) }],
    ["1 waits", { waiting: [view({ computed: 1 })] }],
    ["1 waits", { waiting: [prefilling(1, 0)] }],
    ["1 runs", { running: [prefilling(1, 0, { answerTokens: 1, computed: 5 })] }],
    ["last token left", { running: [running(1, 0, { computed: 4 })] }],
    ["last token left", { running: [running(1, 0, { answerTokens: 0, computed: 4 })] }],
    ["is prefilling", { prefilling: running(1, 0, { answerTokens: 0, computed: 4 }) }],
    ["prompt left", { prefilling: prefilling(1, 0, { computed: 5 }) }],
    ["no more tokens than it has", { waiting: [view({ computed: 6 })] }],
    ["fits its slot", { waiting: [view({ promptTokens: 17 })] }],
    ["answer is full", { running: [running(1, 0, { answerTokens: 8, computed: 12 })] }],
    ["not retried forever", { waiting: [view({ retries: 3 })] }],
  ])("name the breach: %s", (sentence, breach) => {
    expect(violations(snapshot(breach)).join("; ")).toContain(sentence);
  });
});
