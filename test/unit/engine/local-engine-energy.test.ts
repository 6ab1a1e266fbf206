/** The local engine: whoever measures is told of each step, and whose it was, before an answer ends with it. */
import { describe, expect, test } from "vitest";
import { microjoules } from "../../../engine/core/energy.ts";
import type { GenerationRequest } from "../../../engine/core/request.ts";
import { EnergyMeter } from "../../../engine/metering/energy-meter.ts";
import { newRequest } from "../../support/requests.ts";
import { type LaneScript, says } from "../../support/scripted-lane.ts";
import { readAll, STORY, scriptedEngine, settled } from "../../support/scripted-lane-engine.ts";

/** An engine of which each reading of the counter takes 1000 microjoules more. */
function metered(script: LaneScript = { next: says(STORY) }) {
  let readings = 0;
  const meter = new EnergyMeter({
    now: () => readings,
    read: () => {
      readings += 1;
      const uj = microjoules(1000);
      return { uj, lowUj: uj, highUj: uj, tier: "measured" };
    },
  });
  const built = scriptedEngine({ lanes: [script], meter: meter.laneMeter(2) });
  const spent = (request: GenerationRequest): number => meter.spentOn(request).energy.uj;
  const rest = (): number => meter.takeIdle().uj + meter.takeOverhead().uj;
  return { ...built, spent, rest, counter: () => 1000 * readings };
}

const request = (maxTokens: number): GenerationRequest =>
  newRequest({ prompt: { kind: "text", text: "a" }, maxTokens });

describe("what a step took", () => {
  test("is the request's by the time that its answer ends, the last step included", async () => {
    const { engine, spent, rest, counter } = metered();
    const asked = request(4);
    let atTheEnd = 0;
    for await (const event of engine.generate(asked, new AbortController().signal))
      if (event.kind === "finished") atTheEnd = spent(asked);
    expect(atTheEnd).toBe(4000);
    expect(spent(asked)).toBe(4000);
    expect(spent(asked) + rest() - counter()).toBe(0);
  });

  test("is shared by requests that run together, to the microjoule", async () => {
    const { engine, spent, rest, counter } = metered();
    const all = [request(3), request(7), request(5)];
    const signal = new AbortController().signal;
    await Promise.all(all.map((each) => readAll(engine.generate(each, signal))));
    const sum = all.reduce((total, each) => total + spent(each), 0);
    expect(sum + rest() - counter()).toBe(0);
    for (const each of all) expect(spent(each)).toBeGreaterThan(0);
    expect(spent(all[1] as GenerationRequest)).toBeGreaterThan(spent(all[0] as GenerationRequest));
  });

  test("with the sequence of a client that left is nobody's, and what was done before stays its own", async () => {
    const { engine, lane, spent, rest, counter } = metered();
    const asked = request(50);
    const abort = new AbortController();
    const iterator = engine.generate(asked, abort.signal)[Symbol.asyncIterator]();
    await iterator.next();
    await iterator.next();
    lane.hold();
    await settled();
    const before = spent(asked);
    abort.abort();
    await settled();
    lane.release();
    await settled();
    expect(before).toBeGreaterThan(0);
    expect(spent(asked)).toBe(before);
    expect(spent(asked) + rest() - counter()).toBe(0);
  });

  test("of a step that failed counts too", async () => {
    const { engine, spent, rest, counter, incidents } = metered({
      next: says(STORY),
      before: ({ step }) => (step === 1 ? { slotsIntact: true, message: "no" } : undefined),
    });
    const asked = request(3);
    await readAll(engine.generate(asked, new AbortController().signal));
    expect(incidents).toHaveLength(1);
    // Three steps that told a token, and the one that was for nothing.
    expect(spent(asked)).toBeGreaterThanOrEqual(4000);
    expect(spent(asked) + rest() - counter()).toBe(0);
  });
});
