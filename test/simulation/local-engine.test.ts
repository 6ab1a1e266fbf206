/** The local engine and the scheduler together, over lanes that are slow, fail and die. A failure names its seed. */
import { expect, test } from "vitest";
import { newTally, simulate } from "../support/scripted-lane-simulation.ts";

const RUNS = 1_000;

test("in 1,000 seeded runs every request ends exactly once, with the text that it gets alone, and nothing is left", async () => {
  const tally = newTally();
  for (let seed = 1; seed <= RUNS; seed += 1) await simulate(seed, tally);
  for (const [what, count] of Object.entries(tally)) {
    expect(count, `the runs hardly reach: ${what}`).toBeGreaterThan(50);
  }
});
