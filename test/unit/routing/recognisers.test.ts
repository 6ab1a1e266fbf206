/** Each recogniser by its own examples. */
import { describe, expect, test } from "vitest";
import { RECOGNISERS, scanOf } from "../../../engine/routing/recognisers/index.ts";

for (const { rule, examples, find } of RECOGNISERS) {
  describe(rule, () => {
    test.each(examples.hits)("finds it in %j", (text) => {
      const spans = [...find(scanOf(text))];
      expect(spans).not.toEqual([]);
      for (const { start, end } of spans) {
        expect(0 <= start && start < end && end <= text.length, `${start}..${end}`).toBe(true);
      }
    });

    test.each(examples.misses)("leaves %j alone", (text) => {
      expect([...find(scanOf(text))]).toEqual([]);
    });
  });
}

test("every recogniser has a name of its own, and examples of both kinds", () => {
  expect(new Set(RECOGNISERS.map(({ rule }) => rule)).size).toBe(RECOGNISERS.length);
  for (const { examples } of RECOGNISERS) {
    expect(examples.hits.length).toBeGreaterThan(0);
    expect(examples.misses.length).toBeGreaterThan(0);
  }
});
