import fc from "fast-check";
import { expect, test } from "vitest";
import { jsonErrorAt } from "../../../server/schema/json-error.ts";

test.each([
  ['{"a": xyz}', 6],
  ["[1, 2", 5],
  ['{"a" 1}', 5],
  ["[1,]", 3],
  ['{"a":1,}', 7],
  ["{a:1}", 1],
  ["01", 1],
  ["1 2", 2],
  ['"line\nbreak"', 5],
  ['"bad \\x escape"', 5],
  ["[tru]", 1],
  ["", 0],
  ["[]]", 2],
  ["{}", 2],
])("%j stops being JSON at %i", (text, at) => {
  expect(jsonErrorAt(text)).toBe(at);
});

test("it agrees with V8 wherever V8 names a position", () => {
  let compared = 0;
  const broken = fc
    .tuple(
      fc.json({ maxDepth: 3 }),
      fc.nat(),
      fc.constantFrom("", "x", ",", "]", "}", '"', "\\", "1", ":", " "),
    )
    .map(([text, at, insert]) => {
      const cut = at % (text.length + 1);
      return insert === "" ? text.slice(0, cut) : text.slice(0, cut) + insert + text.slice(cut);
    });
  fc.assert(
    fc.property(broken, (text) => {
      const at = jsonErrorAt(text);
      try {
        JSON.parse(text);
        expect(at).toBe(text.length);
      } catch (error) {
        const said = /at position (\d+)/.exec((error as Error).message)?.[1];
        if (said === undefined) return;
        // Into a wrong word, number or escape V8 points somewhere, this function to where it begins or goes wrong.
        expect(at).toBeLessThanOrEqual(Number(said));
        expect(text.slice(at, Number(said))).toMatch(/^[-+.\w\\]*$/);
        compared += 1;
      }
    }),
    { numRuns: 5000 },
  );
  expect(compared).toBeGreaterThan(500);
});

test("a text of a million brackets is no danger to the stack", () => {
  expect(jsonErrorAt("[".repeat(1_000_000))).toBe(1_000_000);
});
