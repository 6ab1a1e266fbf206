/** The local engine: lanes that fail, die, come back or do not. */
import { describe, expect, test } from "vitest";
import { says } from "../../support/scripted-lane.ts";
import { readAll, STORY, scriptedEngine, settled } from "../../support/scripted-lane-engine.ts";

describe("a lane that fails", () => {
  const dead = { slotsIntact: false, message: "the thread is gone" };

  test("dies: what streamed nothing is answered all the same, what streamed fails with a code, and new requests go on", async () => {
    let fail = false;
    const { ask, lane, incidents, answer } = scriptedEngine({
      lanes: [
        {
          next: says(STORY),
          before: () => (fail ? dead : undefined),
          onRevive: () => {
            fail = false;
          },
        },
      ],
    });
    const streaming = ask({ maxTokens: 20 })[Symbol.asyncIterator]();
    await streaming.next();
    lane.hold();
    await streaming.next();
    await settled();
    const quiet = readAll(ask({ prompt: "q".repeat(40), maxTokens: 4 }));
    await settled();
    fail = true;
    const lost = expect(readAll({ [Symbol.asyncIterator]: () => streaming })).rejects.toMatchObject({
      code: "backend_failed",
      message: expect.stringMatching(/the thread is gone.*part of the answer was out already/),
    });
    lane.release();
    await lost;
    expect((await quiet).text).toBe("ther");
    expect(incidents.map(({ kind }) => kind)).toEqual(["step_failed", "revived"]);
    expect((await answer({ maxTokens: 3 })).text).toBe("the");
  });

  test("fails one step again and again: the request ends after its retries, and says why", async () => {
    const fault = { slotsIntact: true, message: "the model's logits are damaged" };
    const { answer, lane, load } = scriptedEngine({ lanes: [{ before: () => fault }] });
    await expect(answer()).rejects.toMatchObject({
      code: "backend_failed",
      message: expect.stringMatching(/logits are damaged.*failed again after 2 retries/),
    });
    expect(lane.plans).toHaveLength(3);
    expect(load()).toBe(0);
  });

  test("is being started again for long: those whose time is up or who leave end meanwhile, the others are answered", async () => {
    const back = Promise.withResolvers<void>();
    const { answer, ask, clock, lane, load, tick } = scriptedEngine({
      lanes: [
        {
          next: says("back"),
          before: ({ step }) => (step === 1 ? dead : undefined),
          onRevive: () => back.promise,
        },
      ],
      limits: { rowsMax: 1, requestTimeoutMs: 10_000 },
    });
    const patient = answer({ maxTokens: 4 });
    const late = answer({ timeoutMs: 2_000 }).catch((error: unknown) => error);
    await settled();
    expect(lane.revives).toBe(1);
    const leaving = new AbortController();
    const arrived = readAll(ask({ timeoutMs: 2_500 }, leaving.signal)).catch((error: unknown) => error);
    await settled();
    expect(load()).toBe(3);
    clock.advance(1_999);
    tick();
    expect(load()).toBe(3);
    clock.advance(1);
    tick();
    expect(await late).toMatchObject({
      code: "request_timeout",
      message: expect.stringMatching(/after its 2 s.*being started again/),
    });
    expect(load()).toBe(2);
    leaving.abort();
    expect(await arrived).toMatchObject({ code: "cancelled" });
    expect(load()).toBe(1);
    back.resolve();
    expect((await patient).text).toBe("back");
    // The scheduler looks after time-outs itself again.
    expect(tick()).toBe(0);
  });

  test("cannot be started again: those who wait are told, and it serves once it is back", async () => {
    let broken = true;
    const { answer, load } = scriptedEngine({
      lanes: [
        {
          next: says("ok"),
          before: () => (broken ? dead : undefined),
          onRevive: () => {
            if (broken) throw new Error("no memory");
          },
        },
      ],
      sleep: settled,
    });
    const asked = [answer(), answer()];
    for (const result of await Promise.allSettled(asked)) {
      expect(result).toMatchObject({
        status: "rejected",
        reason: { code: "backend_failed", message: expect.stringContaining("could not be started again") },
      });
    }
    expect(load()).toBe(0);
    broken = false;
    expect((await answer()).text).toBe("ok");
  });

  test("is one of two: the other one goes on, and new requests go where less is to be done", async () => {
    const { ask, lanes, engine } = scriptedEngine({
      lanes: [{ next: says("left") }, { next: says("right") }],
    });
    for (const lane of lanes) lane.hold();
    const asked = [1, 2, 3, 4].map(() => readAll(ask({ maxTokens: 10 })));
    await settled();
    expect(engine.snapshots().map(({ slotsUsed, waiting }) => slotsUsed + waiting.length)).toEqual([2, 2]);
    for (const lane of lanes) lane.release();
    const texts = (await Promise.all(asked)).map(({ text }) => text);
    expect(texts).toEqual(["left", "right", "left", "right"]);
  });
});
