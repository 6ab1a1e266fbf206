/** The scheduler against a model of the worker, under seeded clients and faults. A failure names its seed. */
import { expect, test } from "vitest";
import { newTally, simulate } from "../support/scheduler-simulation.ts";

const RUNS = 10_000;
const SCALE = { requestsMax: 10, rowsMax: 5, slotTokens: 40 };

test("in 10,000 seeded runs every request gets exactly the tokens it gets alone, and ends exactly once", () => {
  const tally = newTally();
  for (let seed = 1; seed <= RUNS; seed += 1) simulate(seed, SCALE, tally);
  for (const [what, count] of Object.entries(tally)) {
    expect(count, `the runs hardly reach: ${what}`).toBeGreaterThan(300);
  }
});
