/** The local engine: clients that leave, and an engine that is closed, end answers from outside. */
import { describe, expect, test } from "vitest";
import type { GenerationEvent } from "../../../engine/core/generator.ts";
import { says } from "../../support/scripted-lane.ts";
import { readAll, STORY, scriptedEngine, settled, telling } from "../../support/scripted-lane-engine.ts";

describe("a client that leaves", () => {
  const endings = {
    "aborts its signal": (abort: AbortController) => abort.abort(),
    "leaves its iterator": (_: AbortController, iterator: AsyncIterator<GenerationEvent>) =>
      iterator.return?.(),
  };

  test.each(Object.entries(endings))(
    "and %s in the middle of its answer is forgotten within a step",
    async (_, leave) => {
      const { lane, ask, load, answer } = telling("x".repeat(60));
      const abort = new AbortController();
      const iterator = ask({ maxTokens: 50 }, abort.signal)[Symbol.asyncIterator]();
      await iterator.next();
      await iterator.next();
      lane.hold();
      await settled();
      const steps = lane.plans.length;
      void leave(abort, iterator);
      await settled();
      expect(load()).toBe(0);
      lane.release();
      await settled();
      // The step in flight was the last one with work for it.
      expect(lane.plans).toHaveLength(steps);
      await answer({ maxTokens: 1 });
      expect(lane.plans.at(-1)?.closings).toHaveLength(1);
    },
  );

  test("and aborts hears that it was cancelled; what was computed before is dropped", async () => {
    const gate = Promise.withResolvers<undefined>();
    const { ask } = scriptedEngine({
      lanes: [{ next: says(STORY), before: ({ step }) => (step < 4 ? undefined : gate.promise) }],
    });
    const abort = new AbortController();
    const iterator = ask({}, abort.signal)[Symbol.asyncIterator]();
    await iterator.next();
    await settled();
    abort.abort();
    await expect(iterator.next()).rejects.toMatchObject({ code: "cancelled" });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    gate.resolve(undefined);
  });

  test("before it is admitted costs nothing", async () => {
    const { ask, load, lane } = telling(STORY);
    await expect(readAll(ask({}, AbortSignal.abort()))).rejects.toMatchObject({ code: "cancelled" });
    expect(load()).toBe(0);
    await settled();
    expect(lane.plans).toHaveLength(0);
  });

  test("while it waits gives up its place in the queue", async () => {
    const { ask, lane, load } = scriptedEngine({ lanes: [{ next: says(STORY) }], limits: { rowsMax: 1 } });
    lane.hold();
    const first = readAll(ask({ maxTokens: 2 }));
    await settled();
    const abort = new AbortController();
    const second = readAll(ask({}, abort.signal));
    await settled();
    expect(load()).toBe(2);
    abort.abort();
    await expect(second).rejects.toMatchObject({ code: "cancelled" });
    expect(load()).toBe(1);
    lane.release();
    expect((await first).text).toBe("th");
  });

  test("after its answer is complete is no cancellation", async () => {
    const { ask } = telling(STORY);
    const abort = new AbortController();
    const { finished } = await readAll(ask({ maxTokens: 2 }, abort.signal));
    abort.abort();
    expect(finished.reason).toBe("length");
  });
});

describe("closing an engine", () => {
  test("ends running answers with draining, lets the step end, closes the lanes, and takes no more", async () => {
    const { engine, ask, lane, load } = telling(STORY);
    lane.hold();
    const running = readAll(ask());
    await settled();
    const closing = engine.close();
    await expect(running).rejects.toMatchObject({ code: "draining" });
    expect(lane.closed).toBe(false);
    lane.release();
    await closing;
    expect(lane.closed).toBe(true);
    expect(load()).toBe(0);
    await expect(readAll(ask())).rejects.toMatchObject({ code: "draining" });
  });
});
