/** Where requests run: whatever is asked for, labelled or down, private data stays in the house. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { atLeast, DATA_CLASSES, type DataClass } from "../../engine/core/data-class.ts";
import type { ClassRule, KeyRule, Policy } from "../../engine/core/policy.ts";
import { decideRoute, type RouteFacts } from "../../engine/routing/decide.ts";

const NAMES = ["local", "vllm", "openai", "claude", "gemini"] as const;
const zone = fc.constantFrom("onprem" as const, "cloud" as const);
const dataClass = fc.constantFrom(...DATA_CLASSES);
/** Also what no reader of policies lets through: the decision holds by itself. */
const classRule: fc.Arbitrary<ClassRule> = fc.record({
  zone,
  pseudonymise: fc.boolean(),
  backends: fc.uniqueArray(fc.constantFrom<string>(...NAMES), { maxLength: 3 }),
});
const keyRule: fc.Arbitrary<KeyRule> = fc.record({
  classFloor: dataClass,
  zone: fc.option(zone, { nil: undefined }),
  models: fc.uniqueArray(fc.constantFrom("small", "large"), { maxLength: 1 }),
});
const policy: fc.Arbitrary<Policy> = fc.record({
  hash: fc.constant("00"),
  classes: fc.record({ public: classRule, internal: classRule, personal: classRule, restricted: classRule }),
  keys: fc
    .dictionary(fc.constantFrom("hr-bot", "shop"), keyRule)
    .map((rules) => new Map(Object.entries(rules))),
  agents: fc
    .dictionary(fc.constantFrom("writer", "coder"), keyRule)
    .map((rules) => new Map(Object.entries(rules))),
  tools: fc.constant(new Map()),
  connectors: fc.constant(new Map()),
  explicitCloud: fc.constantFrom("refuse", "reroute"),
});
const facts: fc.Arbitrary<RouteFacts> = fc.record({
  class: dataClass,
  pinned: fc.option(dataClass, { nil: undefined }),
  keyPolicy: fc.option(fc.constantFrom("hr-bot", "shop", "forgotten"), { nil: undefined }),
  keyModels: fc.uniqueArray(fc.constantFrom("small", "large", "auto"), { maxLength: 1 }),
  agent: fc.option(fc.constantFrom("writer", "coder", "forgotten"), { nil: undefined }),
  wanted: fc.oneof(
    fc.constant({ kind: "auto" as const }),
    fc
      .record({
        model: fc.constantFrom("small", "large"),
        backend: fc.constantFrom<string>(...NAMES, "gone"),
      })
      .map(({ model, backend }) => ({ kind: "named" as const, model, backend, names: [model] })),
    fc.constant({ kind: "unknown" as const }),
  ),
  backends: fc
    .tuple(
      ...NAMES.map((name) =>
        fc.record({
          name: fc.constant(name),
          zone,
          up: fc.boolean(),
          autoNames: fc.constantFrom(["small"], ["large"]),
        }),
      ),
    )
    .chain((all) => fc.shuffledSubarray([...all])),
});
const zoneOf = ({ backends }: RouteFacts, name: string) => backends.find((each) => each.name === name)?.zone;
const highest = (classes: readonly DataClass[]): DataClass =>
  DATA_CLASSES.findLast((each) => classes.includes(each)) as DataClass;

describe("whatever the facts and the policy", () => {
  test("personal and restricted data, by content, pin or key, are never sent to a cloud", () => {
    fc.assert(
      fc.property(facts, policy, (given, rules) => {
        const route = decideRoute(given, rules);
        const floorOf = (name: string | undefined, of: ReadonlyMap<string, KeyRule>): DataClass =>
          name === undefined ? "public" : (of.get(name)?.classFloor ?? "restricted");
        const floors = [floorOf(given.keyPolicy, rules.keys), floorOf(given.agent, rules.agents)];
        expect(route.class).toBe(highest([given.class, given.pinned ?? "public", ...floors]));
        if (!atLeast(route.class, "personal")) return;
        expect(route.zone).toBe("onprem");
        if (route.action === "serve")
          for (const name of route.backends) expect(zoneOf(given, name)).toBe("onprem");
      }),
      { numRuns: 2_000 },
    );
  });

  test("all backends of a route are up, known, and of its one zone", () => {
    fc.assert(
      fc.property(facts, policy, (given, rules) => {
        const route = decideRoute(given, rules);
        if (route.action === "refuse") return;
        expect(route.backends.length).toBeGreaterThan(0);
        for (const name of route.backends) {
          expect(given.backends).toContainEqual(
            expect.objectContaining({ name, zone: route.zone, up: true }),
          );
        }
        if (route.pseudonymise) expect(route.zone).toBe("cloud");
      }),
      { numRuns: 1_000 },
    );
  });

  test("what is down never opens a zone: served elsewhere than with all up, it is served in the house", () => {
    fc.assert(
      fc.property(facts, policy, (given, rules) => {
        const allUp = { ...given, backends: given.backends.map((each) => ({ ...each, up: true })) };
        const before = decideRoute(allUp, rules).zone;
        const route = decideRoute(given, rules);
        if (route.action === "serve" && route.zone !== before)
          expect([before, route.zone]).toEqual(["cloud", "onprem"]);
      }),
      { numRuns: 1_000 },
    );
  });

  test("a higher class never opens the cloud again, where a policy's zones rise with the classes", () => {
    fc.assert(
      fc.property(facts, policy, dataClass, (given, rules, other) => {
        const closing = DATA_CLASSES.every((each, index) => {
          const before = DATA_CLASSES[index - 1];
          return (
            before === undefined ||
            rules.classes[before].zone === "cloud" ||
            rules.classes[each].zone === "onprem"
          );
        });
        fc.pre(closing && atLeast(other, given.class));
        const above = decideRoute({ ...given, class: other }, rules);
        const below = decideRoute({ ...given, class: "public", pinned: undefined }, rules);
        // A list of backends may leave a class without a cloud: that is the policy's own choice, and the safe side.
        if (above.zone === "cloud" && above.action === "serve" && below.action === "serve")
          expect(rules.classes[below.class].zone).toBe("cloud");
      }),
      { numRuns: 500 },
    );
  });

  test("a key that the policy does not know is held to the strictest", () => {
    fc.assert(
      fc.property(facts, policy, (given, rules) => {
        const route = decideRoute({ ...given, keyPolicy: "forgotten" }, rules);
        expect(route).toMatchObject({ class: "restricted", zone: "onprem" });
      }),
    );
  });

  test("models that a key, its rules or its agent do not list are never served", () => {
    fc.assert(
      fc.property(facts, policy, (given, rules) => {
        const route = decideRoute(given, rules);
        if (route.action === "refuse") return;
        const lists = [
          given.keyModels,
          ...(given.keyPolicy === undefined ? [] : [rules.keys.get(given.keyPolicy)?.models ?? []]),
          ...(given.agent === undefined ? [] : [rules.agents.get(given.agent)?.models ?? []]),
        ].filter((list) => list.length > 0);
        const { wanted } = given;
        for (const list of lists) {
          for (const name of route.backends) {
            const auto = given.backends.find((each) => each.name === name)?.autoNames ?? [];
            const direct = wanted.kind === "named" && wanted.backend === name ? wanted.names : [];
            expect([...auto, ...direct, "auto"].some((each) => list.includes(each))).toBe(true);
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("by the policy that most would write", () => {
  const rule = (zone: "onprem" | "cloud", pseudonymise = false): ClassRule => ({
    zone,
    pseudonymise,
    backends: [],
  });
  const usual: Policy = {
    hash: "00",
    classes: {
      public: rule("cloud"),
      internal: rule("cloud", true),
      personal: rule("onprem"),
      restricted: rule("onprem"),
    },
    keys: new Map([["hr-bot", { classFloor: "restricted", zone: "onprem", models: ["small"] }]]),
    agents: new Map([["coder", { classFloor: "public", zone: "onprem", models: [] }]]),
    tools: new Map(),
    connectors: new Map(),
    explicitCloud: "refuse",
  };
  const backends = [
    { name: "local", zone: "onprem", up: true, autoNames: ["small"] },
    { name: "openai", zone: "cloud", up: true, autoNames: ["openai/large"] },
    { name: "claude", zone: "cloud", up: true, autoNames: ["claude/large"] },
  ] as const;
  const ask = (some: Partial<RouteFacts> = {}, rules = usual) =>
    decideRoute(
      {
        class: "public",
        pinned: undefined,
        keyPolicy: undefined,
        keyModels: [],
        agent: undefined,
        wanted: { kind: "auto" },
        backends,
        ...some,
      },
      rules,
    );
  const cloud = { kind: "named", model: "large", backend: "claude", names: ["claude/large"] } as const;
  const local = { kind: "named", model: "small", backend: "local", names: ["small"] } as const;

  test.each([
    [
      "a public question goes to a cloud",
      {},
      { action: "serve", zone: "cloud", backends: ["openai", "claude"], pseudonymise: false },
    ],
    [
      "internal text goes there pseudonymised",
      { class: "internal" },
      { action: "serve", zone: "cloud", pseudonymise: true },
    ],
    ["personal text stays", { class: "personal" }, { action: "serve", zone: "onprem", backends: ["local"] }],
    [
      "a cloud that is named is taken",
      { wanted: cloud },
      { action: "serve", zone: "cloud", backends: ["claude"] },
    ],
    [
      "the house that is named is taken for anything",
      { wanted: local },
      { action: "serve", zone: "onprem", backends: ["local"] },
    ],
    [
      "a cloud named for private data is refused",
      { wanted: cloud, class: "restricted" },
      { action: "refuse", zone: "onprem", why: "private_data" },
    ],
    ["a pinned conversation stays", { pinned: "restricted" }, { action: "serve", zone: "onprem" }],
    [
      "a key's floor holds",
      { keyPolicy: "hr-bot" },
      { action: "serve", class: "restricted", zone: "onprem" },
    ],
    [
      "a key's models hold",
      { keyPolicy: "hr-bot", wanted: cloud },
      { action: "refuse", why: "model_not_allowed" },
    ],
    [
      "an unknown model is not found",
      { wanted: { kind: "unknown" } },
      { action: "refuse", why: "model_not_found" },
    ],
    [
      "a house that is down refuses private data",
      { class: "restricted", backends: [{ ...backends[0], up: false }, backends[1]] },
      { action: "refuse", zone: "onprem", why: "onprem_unavailable" },
    ],
    [
      "while the clouds are down the house answers",
      { backends: [backends[0], { ...backends[1], up: false }] },
      { action: "serve", zone: "onprem", backends: ["local"], pseudonymise: false },
    ],
    [
      "a cloud that is named and down refuses",
      { wanted: cloud, backends: [backends[0], { ...backends[2], up: false }] },
      { action: "refuse", zone: "cloud", why: "cloud_unavailable" },
    ],
    [
      "without any cloud a public request is of the house, also when that is down",
      { backends: [{ ...backends[0], up: false }] },
      { action: "refuse", zone: "onprem", why: "onprem_unavailable" },
    ],
    ["an agent of the house stays there", { agent: "coder" }, { action: "serve", zone: "onprem" }],
    ["an agent that nobody knows is held to the strictest", { agent: "x" }, { class: "restricted" }],
    [
      "a key's own models hold for the router's choice too",
      { keyModels: ["claude/large"] },
      { action: "serve", backends: ["claude"] },
    ],
    [
      "a key that may use nothing that is there is told so",
      { keyModels: ["claude/large"], class: "restricted" },
      { action: "refuse", zone: "onprem", why: "model_not_allowed" },
    ],
  ] as const)("%s", (_, some, expected) => {
    expect(ask(some as Partial<RouteFacts>)).toMatchObject(expected);
  });

  test("a policy may reroute what was meant for a cloud, and order the backends of a class", () => {
    const rerouting = { ...usual, explicitCloud: "reroute" } as const;
    expect(ask({ wanted: cloud, class: "personal" }, rerouting)).toMatchObject({
      action: "serve",
      backends: ["local"],
    });
    const ordered = {
      ...usual,
      classes: { ...usual.classes, public: { ...rule("cloud"), backends: ["claude"] } },
    };
    expect(ask({}, ordered)).toMatchObject({ backends: ["claude"] });
    expect(ask({ wanted: { ...cloud, backend: "openai" } }, ordered)).toMatchObject({
      why: "model_not_allowed",
    });
  });
});
