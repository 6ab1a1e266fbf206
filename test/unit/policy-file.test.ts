/** policy.yaml: what is read out of it, and what is refused with its line. */
import { describe, expect, test } from "vitest";
import { PolicyError, type PolicyProblem, parsePolicy } from "../../server/policy/policy-file.ts";

const USUAL = `version: 1
# Where what may run.
explicit_cloud: reroute
classes:
  public: { zone: cloud, backends: [openai, claude] }
  internal: { zone: cloud }
  restricted: { zone: onprem }
keys:
  hr-bot: { class_floor: restricted, zone: onprem, models: [local/hr] }
probes:
  - name: a salary stays
    key: hr-bot
    request: { messages: [{ role: user, content: What does she earn? }] }
    expect: { class: restricted, zone: onprem, action: serve }
`;

function problemsOf(text: string): readonly PolicyProblem[] {
  try {
    parsePolicy(text, "policy.yaml");
  } catch (error) {
    if (error instanceof PolicyError) return error.problems;
    throw error;
  }
  return [];
}

describe("a policy", () => {
  test("is read whole; a class that it does not name stays in the house", () => {
    const { policy, probes } = parsePolicy(USUAL, "policy.yaml");
    expect(policy).toMatchObject({
      classes: {
        public: { zone: "cloud", pseudonymise: false, backends: ["openai", "claude"] },
        internal: { zone: "cloud", pseudonymise: true },
        personal: { zone: "onprem" },
        restricted: { zone: "onprem" },
      },
      explicitCloud: "reroute",
    });
    expect(policy.keys.get("hr-bot")).toEqual({
      classFloor: "restricted",
      zone: "onprem",
      models: ["local/hr"],
    });
    expect(probes).toHaveLength(1);
    expect(parsePolicy("version: 1\n", "p").policy).toMatchObject({
      classes: { public: { zone: "onprem" } },
      explicitCloud: "refuse",
    });
  });

  test("has the same hash whatever its comments, order and probes, and another for any rule", () => {
    const hash = (text: string): string => parsePolicy(text, "p").policy.hash;
    const base = hash(USUAL);
    expect(base).toMatch(/^[0-9a-f]{64}$/);
    expect(hash(USUAL.replace(/probes:[\s\S]*/, ""))).toBe(base);
    expect(
      hash(
        USUAL.replace("# Where what may run.\n", "").replace(
          "public: { zone: cloud, backends: [openai, claude] }\n  internal: { zone: cloud }",
          "internal: { zone: cloud }\n  public: { backends: [openai, claude], zone: cloud }",
        ),
      ),
    ).toBe(base);
    for (const [from, to] of [
      ["reroute", "refuse"],
      ["[openai, claude]", "[claude, openai]"],
      ["class_floor: restricted", "class_floor: personal"],
      ["models: [local/hr]", "models: []"],
    ] as const) {
      expect(hash(USUAL.replace(from, to)), to).not.toBe(base);
    }
  });
});

describe("is refused, with its line,", () => {
  test.each([
    [
      "a class that never leaves",
      "version: 1\nclasses:\n  personal: { zone: cloud }\n",
      3,
      "classes.personal.zone",
      "never leaves the house",
    ],
    [
      "raw internal text in a cloud",
      "version: 1\nclasses:\n  public: { zone: cloud }\n  internal: { zone: cloud, pseudonymise: false }\n",
      4,
      "classes.internal.pseudonymise",
      "only pseudonymised",
    ],
    [
      "a higher class with more freedom",
      "version: 1\nclasses:\n  internal: { zone: cloud }\n",
      3,
      "classes.internal.zone",
      "more freedom",
    ],
    [
      "pseudonymised public text",
      "version: 1\nclasses:\n  public: { zone: cloud, pseudonymise: true }\n",
      3,
      "classes.public.pseudonymise",
      "for internal only",
    ],
    [
      "a class that there is not",
      "version: 1\nclasses:\n  secret: { zone: onprem }\n",
      3,
      "classes",
      "secret",
    ],
    ["a key that there is not", "version: 1\nclases: {}\n", undefined, "", "clases"],
    ["no version", "classes: {}\n", undefined, "version", "Invalid"],
    [
      "a probe of an unknown key",
      "version: 1\nprobes:\n  - { name: a, key: shop, request: {}, expect: { zone: onprem } }\n",
      3,
      "probes.0.key",
      "no rules for a key policy named shop",
    ],
    [
      "a probe that expects nothing",
      "version: 1\nprobes:\n  - { name: a, request: {}, expect: {} }\n",
      3,
      "probes.0.expect",
      "must expect something",
    ],
    ["text that is no YAML", "version: 1\nclasses: [\n", 3, "", "Flow sequence"],
    ["a key given twice", "version: 1\nclasses: {}\nclasses: {}\n", 3, "", "unique"],
  ])("%s", (_, text, line, path, message) => {
    const [problem] = problemsOf(text);
    expect(problem).toMatchObject({ path, message: expect.stringContaining(message) });
    if (line !== undefined) expect(problem?.where).toBe(`policy.yaml:${line}`);
  });

  test("a file whose aliases multiply, and one that is too large, in a moment", () => {
    const bomb = `version: 1\na: &a [x]\n${Array.from({ length: 9 }, (_, i) => `${"bcdefghij"[i]}: &${"bcdefghij"[i]} [${Array(9).fill(`*${"abcdefghij"[i]}`).join(", ")}]`).join("\n")}\n`;
    expect(problemsOf(bomb)).not.toEqual([]);
    expect(problemsOf(`version: 1\n#${" ".repeat(1024 * 1024)}`)).toMatchObject([
      { message: expect.stringContaining("larger than") },
    ]);
  });

  test("every problem at once", () => {
    expect(
      problemsOf("version: 2\nclasses:\n  public: { zone: moon }\nkeys:\n  shop: { class_floor: none }\n"),
    ).toHaveLength(3);
  });
});
