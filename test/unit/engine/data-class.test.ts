import { expect, test } from "vitest";
import { atLeast, DATA_CLASSES, type DataClass, maxClass } from "../../../engine/core/data-class.ts";

test("of two classes the higher one counts, whichever comes first", () => {
  for (const [i, low] of DATA_CLASSES.entries()) {
    for (const high of DATA_CLASSES.slice(i)) {
      expect(maxClass(low, high)).toBe(high);
      expect(maxClass(high, low)).toBe(high);
      expect(atLeast(high, low)).toBe(true);
      expect(atLeast(low, high)).toBe(low === high);
    }
  }
});

test("what is no class counts as above every class", () => {
  const strange = "secret" as DataClass;
  expect(atLeast(strange, "restricted")).toBe(true);
  expect(atLeast("restricted", strange)).toBe(false);
});
