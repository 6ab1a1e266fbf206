/** Whatever stands in a policy file, it is read or refused with its lines, and no text of a probe is repeated. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DATA_CLASSES } from "../../engine/core/data-class.ts";
import { PolicyError, parsePolicy } from "../../server/policy/policy-file.ts";

const CANARY = "canary-7f3a91";
const WHOLE = readFileSync(new URL("../../server/policy/built-in.yaml", import.meta.url), "utf8")
  .replaceAll(/content: [^\n{}[\]]+/g, `content: ${CANARY} *${CANARY} says`)
  .replaceAll("content: >-", `content: "\\\\${CANARY}"`);

/** A message, or undefined where the file was read. Anything but a PolicyError is a fault of weir. */
function refusal(text: string): string | undefined {
  try {
    parsePolicy(text, "policy.yaml");
    return undefined;
  } catch (error) {
    if (error instanceof PolicyError) return error.message;
    throw error;
  }
}

test("a file that was cut, shifted or mistyped anywhere is refused without a word of its probes", () => {
  const lines = WHOLE.split("\n");
  const piece = fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    ":",
    "- ",
    "  ",
    "&a ",
    "*",
    "!x ",
    '"',
    "'",
    "|",
    "\t",
    "%",
    "#",
    "\\q",
  );
  let refused = 0;
  fc.assert(
    fc.property(fc.nat(), fc.nat(), piece, fc.constantFrom("put", "cut", "drop"), (at, place, put, how) => {
      const index = at % lines.length;
      const line = lines[index] as string;
      const column = place % (line.length + 1);
      const changed = {
        put: lines.with(index, line.slice(0, column) + put + line.slice(column)),
        cut: lines.with(index, line.slice(column)),
        drop: lines.toSpliced(index, 1 + (place % 3)),
      }[how];
      const said = refusal(changed.join("\n"));
      if (said === undefined) return;
      refused += 1;
      expect(said).not.toContain("canary");
      expect(said).toMatch(/^policy\.yaml(:\d+)?: /);
    }),
    { numRuns: 600 },
  );
  expect(refused).toBeGreaterThan(50);
});

test("any text at all is read or refused", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.json(), fc.string({ unit: "binary" })),
      (text) => void refusal(text),
    ),
  );
});

test("a policy of any rules is read as it was written, and never opens what never leaves", () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/);
  const dataClass = fc.constantFrom(...DATA_CLASSES);
  const zone = fc.constantFrom("onprem" as const, "cloud" as const);
  const rules = fc.dictionary(name, fc.record({ class_floor: dataClass, zone }, { requiredKeys: [] }), {
    maxKeys: 4,
  });
  const file = fc.record({
    version: fc.constant(1),
    classes: fc.dictionary(dataClass, fc.record({ zone }), { maxKeys: 4 }),
    keys: rules,
    agents: rules,
    tools: fc.dictionary(name, dataClass, { maxKeys: 4 }),
    connectors: fc.dictionary(name, dataClass, { maxKeys: 4 }),
  });
  fc.assert(
    fc.property(file, (written) => {
      let policy: ReturnType<typeof parsePolicy>["policy"];
      try {
        ({ policy } = parsePolicy(JSON.stringify(written), "policy.yaml"));
      } catch (error) {
        expect(error).toBeInstanceOf(PolicyError);
        return;
      }
      expect(policy.classes.personal.zone).toBe("onprem");
      expect(policy.classes.restricted.zone).toBe("onprem");
      expect(Object.fromEntries(policy.tools)).toEqual(written.tools);
      expect(Object.fromEntries(policy.connectors)).toEqual(written.connectors);
      for (const section of ["keys", "agents"] as const) {
        expect([...policy[section].keys()]).toEqual(Object.keys(written[section]));
        for (const [each, rule] of Object.entries(written[section])) {
          expect(policy[section].get(each)).toEqual({
            classFloor: rule.class_floor ?? "public",
            zone: rule.zone,
            models: [],
          });
        }
      }
    }),
  );
});
