/** More and larger seeded runs of the scheduler than every test run can afford, on seeds of their own. */
import { expect, test } from "vitest";
import { newTally, simulate } from "../support/scheduler-simulation.ts";

test("in 100,000 more small runs every request gets exactly its own tokens, and ends exactly once", () => {
  const tally = newTally();
  for (let seed = 1_000_001; seed <= 1_100_000; seed += 1) {
    simulate(seed, { requestsMax: 12, rowsMax: 6, slotTokens: 48 }, tally);
  }
  expect(tally.retried).toBeGreaterThan(10_000);
});

test("in 300 large runs, with 64 rows and 1,000 requests at most, too", () => {
  const tally = newTally();
  for (let seed = 2_000_001; seed <= 2_000_300; seed += 1) {
    simulate(seed, { requestsMax: 1_000, rowsMax: 64, slotTokens: 200 }, tally);
  }
  expect(tally.moves).toBeGreaterThan(3_000);
});
