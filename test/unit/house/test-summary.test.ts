import { expect, test } from "vitest";
import type { TestModule } from "vitest/node";
import { closingLine, countResults } from "../../../scripts/test-summary.ts";

const module = (state: string, tests: readonly string[]): TestModule =>
  ({
    state: () => state,
    children: { allTests: () => tests.map((each) => ({ result: () => ({ state: each }) })) },
  }) as unknown as TestModule;

test("counts tests, and a pending one as skipped", () => {
  const counts = countResults([module("failed", ["passed", "failed", "skipped", "pending"])], 0);
  expect(closingLine(counts)).toBe("1 passed, 1 failed, 2 skipped");
});

test("a file that could not be loaded is one failure, a failed hook too, and so is an unhandled error", () => {
  const counts = countResults(
    [module("failed", []), module("failed", ["skipped"]), module("passed", ["passed"])],
    1,
  );
  expect(closingLine(counts)).toBe("1 passed, 3 failed, 1 skipped");
});
