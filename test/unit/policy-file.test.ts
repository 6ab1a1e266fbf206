/** policy.yaml: what is read out of it, and what is refused with its line. */
import { describe, expect, test } from "vitest";
import type { YamlProblem } from "../../server/checked-yaml.ts";
import { PolicyError, parsePolicy } from "../../server/policy/policy-file.ts";

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

function problemsOf(text: string): readonly YamlProblem[] {
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

  test("has rules for agents, tools and sources", () => {
    const { policy, probes } = parsePolicy(
      `version: 1
agents:
  writer: { class_floor: personal, models: ["auto", "openai/gpt-4.1@eu", "qwen2.5:0.5b"] }
tools: { _lookup: personal, "mcp:hr/search": restricted }
connectors: { "web@site": public, wiki: internal }
probes:
  - { name: one, agent: writer, label: secret, source: elsewhere, model: local/a, request: {}, expect: { zone: onprem } }
`,
      "policy.yaml",
    );
    expect(policy.agents.get("writer")).toEqual({
      classFloor: "personal",
      zone: undefined,
      models: ["auto", "openai/gpt-4.1@eu", "qwen2.5:0.5b"],
    });
    expect([...policy.tools]).toEqual([
      ["_lookup", "personal"],
      ["mcp:hr/search", "restricted"],
    ]);
    expect(policy.connectors.get("web@site")).toBe("public");
    expect(probes).toMatchObject([{ where: "policy.yaml:7", agent: "writer", source: "elsewhere" }]);
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
      ["keys:", "agents: { writer: {} }\nkeys:"],
      ["keys:", "tools: { lookup: personal }\nkeys:"],
      ["keys:", "connectors: { wiki: internal }\nkeys:"],
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
      "a probe of an unknown agent",
      "version: 1\nprobes:\n  - { name: a, agent: shop, request: {}, expect: { zone: onprem } }\n",
      3,
      "probes.0.agent",
      "no rules for an agent named shop",
    ],
    [
      "two probes of one name",
      "version: 1\nprobes:\n  - &a { name: a, request: {}, expect: { zone: onprem } }\n  - *a\n",
      4,
      "probes.1.name",
      "a probe before it",
    ],
    [
      "a probe that names two models",
      "version: 1\nprobes:\n  - { name: a, model: x, request: { model: y }, expect: { zone: onprem } }\n",
      3,
      "probes.0.model",
      "in one place",
    ],
    [
      "an agent that a cloud may serve what never leaves",
      "version: 1\nagents:\n  writer: { class_floor: personal, zone: cloud }\n",
      3,
      "agents.writer.zone",
      "never leaves the house",
    ],
    ["a tool of no class", "version: 1\ntools:\n  lookup: secret\n", 3, "tools.lookup", "Invalid option"],
    [
      "a name that would be lost",
      "version: 1\ntools:\n  __proto__: restricted\n",
      3,
      "tools.__proto__",
      "name",
    ],
    ["a tag", "version: 1\nclasses: !any {}\n", 2, "", "has a tag"],
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

  test("a text that stands where a key should, without the text", () => {
    expect(problemsOf("version: 1\nprobes:\n  - name: a\n    She earns 84000: x\n")).toContainEqual({
      where: "policy.yaml:3",
      path: "probes.0",
      message: "has a key that is none of a policy's",
    });
    expect(problemsOf("version: 1\nkeys:\n  She earns 84000: {}\n")).toMatchObject([
      { where: "policy.yaml:3", path: "keys.(a text)" },
    ]);
    expect(problemsOf("version: 1\nclases: {}\n")).toMatchObject([
      { message: expect.stringContaining("clases") },
    ]);
  });

  test("a file that is nested without end", () => {
    expect(problemsOf(`version: 1\nx: ${"[".repeat(100_000)}`)).not.toEqual([]);
    expect(problemsOf(`version: 1\nprobes: ${"[".repeat(5_000)}${"]".repeat(5_000)}`)).not.toEqual([]);
  });

  test("many problems of a long file in a moment, and not all of them told", () => {
    const probes = Array.from(
      { length: 9_999 },
      () => `  - { name: a, key: b, request: {}, expect: { zone: cloud } }`,
    );
    const problems = problemsOf(`version: 1\nprobes:\n${probes.join("\n")}\n`);
    expect(problems).toHaveLength(101);
    expect(problems.at(-1)?.message).toBe(`and ${2 * 9_999 - 1 - 100} more`);
  });

  test("every problem at once", () => {
    expect(
      problemsOf("version: 2\nclasses:\n  public: { zone: moon }\nkeys:\n  shop: { class_floor: none }\n"),
    ).toHaveLength(3);
  });
});
