import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { NO_LANE_METER } from "../../../engine/core/lane-meter.ts";
import type { NewSequence, SchedulerEvent } from "../../../engine/core/sequence.ts";
import { type LaneIncident, LaneLoop } from "../../../engine/local/lane-loop.ts";
import { Scheduler } from "../../../engine/scheduler/scheduler.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { laneLimits, newSequence, tokens } from "../../support/scheduler-build.ts";
import { type LaneScript, ScriptedLane } from "../../support/scripted-lane.ts";

function start(script: LaneScript = {}, lane = new ScriptedLane(script)) {
  const scheduler = new Scheduler(new FakeClock(), laneLimits());
  const events: SchedulerEvent[] = [];
  const incidents: LaneIncident[] = [];
  const waits: number[] = [];
  const giveUp = vi.fn();
  let sleeping: PromiseWithResolvers<void> | undefined;
  const next = vi.spyOn(scheduler, "next");
  const loop = new LaneLoop({
    lane,
    scheduler,
    meter: NO_LANE_METER,
    publish: (event) => events.push(event),
    report: (incident) => incidents.push(incident),
    giveUp,
    watch: () => ({ [Symbol.dispose]: () => undefined }),
    sleep: async (ms, signal) => {
      waits.push(ms);
      sleeping = Promise.withResolvers();
      signal.addEventListener("abort", () => sleeping?.resolve(), { once: true });
      await sleeping.promise;
    },
  });
  const add = (some: Partial<NewSequence> = {}): void => {
    scheduler.add(newSequence(some));
    loop.wake();
  };
  const ends = (): readonly string[] =>
    events.filter(({ kind }) => kind === "finished" || kind === "failed").map(({ kind }) => kind);
  /** The wait between two attempts is over. */
  const rested = async (): Promise<void> => {
    sleeping?.resolve();
    await settled();
  };
  return { lane, scheduler, loop, add, events, incidents, waits, giveUp, next, ends, rested };
}

/** Whatever can go on without an outside event has gone on. */
const settled = async (): Promise<void> => {
  for (let turns = 0; turns < 20; turns += 1) await turn();
};

const dead = { slotsIntact: false, message: "the thread is gone" };

describe("a lane's loop", () => {
  test("carries out what is added, sleeps, and wakes for more", async () => {
    const { add, ends, loop, scheduler, lane } = start();
    add({ maxTokens: 3 });
    await settled();
    expect(ends()).toEqual(["finished"]);
    const steps = lane.plans.length;
    await settled();
    expect(lane.plans).toHaveLength(steps);
    add({ maxTokens: 2 });
    add({ maxTokens: 2 });
    await settled();
    expect(ends()).toHaveLength(3);
    expect(scheduler.idle).toBe(true);
    await loop.close();
  });

  test("asks the scheduler once for nothing to do, not again and again", async () => {
    const { loop, next } = start();
    await settled();
    expect(next).toHaveBeenCalledTimes(1);
    loop.wake();
    await settled();
    expect(next).toHaveBeenCalledTimes(2);
    await loop.close();
  });

  test("never runs two steps at once, however often it is woken", async () => {
    const { add, loop, lane, ends } = start({ before: () => turn(undefined) });
    add({ maxTokens: 4 });
    for (let i = 0; i < 30; i += 1) {
      loop.wake();
      await turn();
    }
    await settled();
    // The scripted lane refuses a second step while one runs, which would have ended the loop.
    expect(ends()).toEqual(["finished"]);
    expect(lane.plans).toHaveLength(4);
    await loop.close();
  });

  test("publishes a sequence that is stopped from within an event in the same turn", async () => {
    const { add, scheduler, events, loop, lane } = start();
    const original = events.push.bind(events);
    events.push = (...all) => {
      for (const event of all)
        if (event.kind === "token" && event.index === 1) scheduler.stop(event.sequence);
      return original(...all);
    };
    add({ maxTokens: 40 });
    await settled();
    expect(events.map(({ kind }) => kind)).toEqual(["token", "token", "finished"]);
    expect(lane.plans).toHaveLength(2);
    await loop.close();
  });
});

describe("a step that fails", () => {
  test("with its slots intact is reported, and the lane goes on without a revive", async () => {
    const fault = { slotsIntact: true, message: "a kernel said no" };
    const { add, ends, incidents, lane, loop } = start({
      before: ({ step }) => (step === 1 ? fault : undefined),
    });
    add();
    await settled();
    expect(incidents).toEqual([{ kind: "step_failed", message: "a kernel said no", slotsIntact: true }]);
    expect(ends()).toEqual(["finished"]);
    expect(lane.revives).toBe(0);
    await loop.close();
  });

  test("with the lane is followed by a revive, and the request is answered all the same", async () => {
    const { add, ends, incidents, lane, loop, waits } = start({
      before: ({ step }) => (step === 1 ? dead : undefined),
    });
    add();
    await settled();
    expect(incidents).toEqual([
      { kind: "step_failed", message: "the thread is gone", slotsIntact: false },
      { kind: "revived", attempts: 1 },
    ]);
    expect(ends()).toEqual(["finished"]);
    expect(lane.revives).toBe(1);
    expect(waits).toEqual([]);
    await loop.close();
  });
});

describe("a lane that does not come back", () => {
  const hopeless: LaneScript = {
    before: () => dead,
    onRevive: () => {
      throw new Error("no memory");
    },
  };

  test("is tried with waits that double up to ten seconds", async () => {
    const { add, waits, rested, loop, incidents } = start(hopeless);
    add();
    await settled();
    for (let i = 0; i < 9; i += 1) await rested();
    expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000]);
    expect(incidents.at(-1)).toEqual({ kind: "revive_failed", attempts: 10, message: "no memory" });
    await loop.close();
  });

  test("has those who wait for it told from the third attempt on", async () => {
    const { add, giveUp, rested, loop } = start(hopeless);
    add();
    await settled();
    await rested();
    expect(giveUp).not.toHaveBeenCalled();
    await rested();
    expect(giveUp).toHaveBeenCalledExactlyOnceWith("no memory");
    await rested();
    expect(giveUp).toHaveBeenCalledTimes(2);
    await loop.close();
  });

  test("serves again once an attempt succeeds", async () => {
    const { add, ends, rested, loop, incidents } = start({
      before: ({ step }) => (step === 1 ? dead : undefined),
      onRevive: (attempt) => {
        if (attempt < 4) throw new Error("not yet");
      },
    });
    add();
    await settled();
    for (let i = 0; i < 3; i += 1) await rested();
    expect(incidents.at(-1)).toEqual({ kind: "revived", attempts: 4 });
    expect(ends()).toEqual(["finished"]);
    await loop.close();
  });

  test("does not hold up a close: the wait between attempts ends early", async () => {
    const { add, loop, waits, lane } = start(hopeless);
    add();
    await settled();
    expect(waits).toHaveLength(1);
    await loop.close();
    expect(lane.revives).toBe(1);
  });
});

describe("closing a loop", () => {
  test("waits for the step in flight, whose tokens are still published, and begins no other", async () => {
    const lane = new ScriptedLane();
    const { add, loop, events } = start({}, lane);
    lane.hold();
    add({ maxTokens: 10 });
    await settled();
    const ended = vi.fn();
    const closing = loop.close().then(ended);
    await settled();
    expect(ended).not.toHaveBeenCalled();
    lane.release();
    await closing;
    expect(events.map(({ kind }) => kind)).toEqual(["token"]);
    expect(lane.plans).toHaveLength(1);
  });

  test("works while idle, and twice", async () => {
    const { loop, lane } = start();
    await settled();
    await loop.close();
    await loop.close();
    // The lane belongs to somebody else.
    expect(lane.closed).toBe(false);
  });

  test("does not start a dead lane again", async () => {
    const lane = new ScriptedLane({ before: () => dead });
    const { add, loop } = start({}, lane);
    lane.hold();
    add({ prompt: tokens(2) });
    await settled();
    const closing = loop.close();
    lane.release();
    await closing;
    expect(lane.revives).toBe(0);
  });
});
