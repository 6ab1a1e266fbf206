/** Nothing that was acknowledged is lost, nothing counts twice, whenever the process ends (C5, C6). */
import { expect, test } from "vitest";
import { crashes } from "../support/ledger-crashes.ts";

test("kill -9 between and within appends, 20 times: every acknowledged line is there, once, and the chain is whole", async () => {
  const results = await crashes(20, 7);
  for (const [turn, { wrong, problems, summed, lines, acknowledged }] of results.entries()) {
    expect({ turn, wrong, problems, summed }).toEqual({ turn, wrong: 0, problems: [], summed: true });
    expect(lines).toBeGreaterThanOrEqual(acknowledged);
  }
  expect(results.at(-1)?.acknowledged).toBeGreaterThan(100);
});
