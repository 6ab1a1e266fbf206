/** The router asks all who know something, puts its decision on record before anything happens, and leaks no text. */
import { describe, expect, test } from "vitest";
import type { DataClass } from "../../../engine/core/data-class.ts";
import type { DecisionRecord } from "../../../engine/core/decision-record.ts";
import type { Policy } from "../../../engine/core/policy.ts";
import type { Question } from "../../../engine/core/route.ts";
import { type KnownBackend, Router, type RouterPorts } from "../../../engine/routing/router.ts";

const rule = (zone: "onprem" | "cloud", pseudonymise = false) => ({ zone, pseudonymise, backends: [] });
const POLICY: Policy = {
  hash: "ab",
  classes: {
    public: rule("cloud"),
    internal: rule("cloud", true),
    personal: rule("onprem"),
    restricted: rule("onprem"),
  },
  keys: new Map([["hr-bot", { classFloor: "restricted", zone: "onprem", models: [] }]]),
  agents: new Map([["writer", { classFloor: "public", zone: "onprem", models: [] }]]),
  tools: new Map(),
  connectors: new Map(),
  explicitCloud: "refuse",
};
const CLOUD: KnownBackend = {
  name: "cloud",
  zone: "cloud",
  models: ["large"],
  autoModel: "large",
  isUp: () => true,
};

interface Setup {
  readonly class?: DataClass;
  readonly ports?: Partial<RouterPorts>;
}

function setUp({ class: dataClass = "public", ports = {} }: Setup = {}) {
  const records: DecisionRecord[] = [];
  const pinned: string[] = [];
  const declared: unknown[] = [];
  const router = new Router({
    policy: () => POLICY,
    classify: async (_body, votes) => {
      declared.push(...votes);
      return { class: dataClass, evidence: [], confidence: 0.75 };
    },
    backends: [CLOUD],
    local: { autoModel: () => "small", isInstalled: (model) => model === "small", isUp: () => true },
    aliases: {},
    pins: {
      lookup: () => undefined,
      remember: (caller, _body, value) => void pinned.push(`${caller} ${value}`),
    },
    isReleasable: async () => true,
    record: (decision) => {
      records.push(decision);
      return "1-abc";
    },
    topicModel: "cd",
    ...ports,
  });
  return { router, records, pinned, declared };
}

const question = (changes: Partial<Question> = {}): Question => ({
  caller: { id: "k1", name: "shop", policy: undefined, classFloor: "public", models: [] },
  label: undefined,
  source: undefined,
  agent: undefined,
  body: { messages: [{ role: "user", content: "What is a river?" }] },
  bytes: 52,
  draft: () => [],
  ...changes,
});

describe("a decision", () => {
  test("is on record with ids, hashes and lengths alone", async () => {
    const { router, records } = setUp();
    const decision = await router.decide(
      question({ body: { model: "cloud/large", prompt: "SECRET" } }),
      "req-1",
    );
    expect(decision).toMatchObject({ receipt: "1-abc", targets: [{ backend: "cloud", model: "large" }] });
    expect(records).toEqual([
      {
        request: "req-1",
        class: "public",
        content: "public",
        pinned: null,
        key: null,
        agent: null,
        wanted: { model: "large", backend: "cloud" },
        zone: "cloud",
        action: "serve",
        backend: "cloud",
        rules: [],
        policy: "ab",
        topicModel: "cd",
        bytes: 52,
      },
    ]);
  });

  test("that cannot be put on record is none", async () => {
    const { router } = setUp({
      ports: {
        record: () => {
          throw new Error("disk full");
        },
      },
    });
    await expect(router.decide(question(), "req-1")).rejects.toThrow("disk full");
  });

  test("repeats no name that the configuration does not have", async () => {
    const { router, records } = setUp();
    await router.decide(
      question({ agent: "Li Na 13800138000", body: { model: "Li Na", prompt: "x" } }),
      "req-1",
    );
    expect(JSON.stringify(records)).not.toContain("Li Na");
    expect(records[0]).toMatchObject({
      agent: "(unknown)",
      wanted: "unknown",
      class: "restricted",
      action: "refuse",
    });
  });

  test("for personal and restricted data makes the conversation stay so; explaining does not", async () => {
    const { router, pinned } = setUp({ class: "personal" });
    await router.judge(question());
    expect(pinned).toEqual([]);
    await router.decide(question(), "req-1");
    expect(pinned).toEqual(["k1 personal"]);
  });

  test("for public data pins nothing", async () => {
    const { router, pinned } = setUp();
    await router.decide(question(), "req-1");
    expect(pinned).toEqual([]);
  });
});

describe("the class", () => {
  test("is raised by a pin, and the evidence says so", async () => {
    const { router } = setUp({ ports: { pins: { lookup: () => "restricted", remember: () => undefined } } });
    const { route, content, evidence, confidence } = await router.judge(question());
    expect(route).toMatchObject({ class: "restricted", zone: "onprem", backends: ["local"] });
    expect({ content, evidence, confidence }).toEqual({
      content: "public",
      evidence: [{ rule: "pin.conversation", class: "restricted", where: "" }],
      confidence: 1,
    });
  });

  test("is raised by the rules of the key's policy, or of the key's own name", async () => {
    const { router, records } = setUp();
    const caller = question().caller;
    for (const changed of [
      { ...caller, policy: "hr-bot" },
      { ...caller, name: "hr-bot" },
    ]) {
      const { evidence } = await router.decide(question({ caller: changed }), "req-1");
      expect(evidence).toEqual([{ rule: "policy.floor", class: "restricted", where: "" }]);
    }
    expect(records.map(({ key, zone }) => [key, zone])).toEqual([
      ["hr-bot", "onprem"],
      ["hr-bot", "onprem"],
    ]);
  });

  test("hears what is declared", async () => {
    const { router, declared } = setUp();
    await router.judge(question({ label: "internal" }));
    expect(declared).toEqual([{ rule: "declared.header", class: "internal", where: "" }]);
  });
});

describe("where it runs", () => {
  test("an agent of the house stays there, and its receipt names it", async () => {
    const { router, records } = setUp();
    await router.decide(question({ agent: "writer" }), "req-1");
    expect(records[0]).toMatchObject({ agent: "writer", zone: "onprem", backend: "local" });
  });

  test("internal text that cannot be pseudonymised stays, whether it is not releasable or that cannot be told", async () => {
    for (const isReleasable of [async () => false, async () => Promise.reject(new Error("boom"))]) {
      const { router } = setUp({ class: "internal", ports: { isReleasable } });
      const { route } = await router.judge(question());
      expect(route).toMatchObject({
        class: "internal",
        zone: "onprem",
        action: "serve",
        backends: ["local"],
      });
    }
    const { router } = setUp({ class: "internal" });
    expect((await router.judge(question())).route).toMatchObject({ zone: "cloud", pseudonymise: true });
    const draft = (): never => {
      throw new Error("no body");
    };
    expect((await router.judge(question({ draft }))).route).toMatchObject({ zone: "onprem" });
  });

  test("a server that was set up in the house is taken before this engine's own models", async () => {
    const vllm: KnownBackend = { ...CLOUD, name: "vllm", zone: "onprem" };
    const { router } = setUp({ class: "restricted", ports: { backends: [CLOUD, vllm] } });
    expect((await router.judge(question())).targets).toEqual([
      { backend: "vllm", model: "large" },
      { backend: "local", model: "small" },
    ]);
  });

  test("what the cloud's door refuses is decided again, once and on record: in the house, where the client left the choice", async () => {
    const { router, records } = setUp();
    const decision = await router.decide(question(), "req-1");
    const after = router.atDoor(decision);
    expect(after).toMatchObject({
      route: { class: "public", zone: "onprem", backends: ["local"] },
      targets: [{ backend: "local", model: "small" }],
    });
    expect(router.atDoor(decision)).toBe(after);
    expect(records).toEqual([
      records[0],
      { ...records[0], zone: "onprem", backend: "local", rules: ["egress.doubt"] },
    ]);
  });

  test("a cloud that was named is refused there, or the house serves where the policy reroutes", async () => {
    const named = question({ body: { model: "cloud/large", prompt: "x" } });
    const { router, records } = setUp();
    expect(router.atDoor(await router.decide(named, "req-1")).route).toMatchObject({
      action: "refuse",
      why: "private_data",
    });
    expect(records[1]).toMatchObject({ action: "refuse", backend: null, rules: ["egress.doubt"] });
    const lenient = setUp({ ports: { policy: () => ({ ...POLICY, explicitCloud: "reroute" }) } }).router;
    expect(lenient.atDoor(await lenient.decide(named, "req-1")).route).toMatchObject({
      action: "serve",
      backends: ["local"],
    });
  });

  test("the policy that judged is the one on record, whatever comes into force meanwhile", async () => {
    let policy = POLICY;
    const { router, records } = setUp({
      ports: {
        policy: () => policy,
        classify: async () => {
          policy = { ...POLICY, hash: "new", agents: new Map(), keys: new Map() };
          return { class: "public", evidence: [], confidence: 1 };
        },
      },
    });
    const caller = { ...question().caller, name: "hr-bot" };
    await router.decide(question({ agent: "writer", caller }), "req-1");
    expect(records[0]).toMatchObject({ policy: "ab", agent: "writer", key: "hr-bot" });
  });

  test("what a key's own floor says anyway is not remembered of its conversations", async () => {
    const { router, pinned } = setUp({ class: "restricted" });
    const caller = question().caller;
    for (const known of [
      { ...caller, classFloor: "restricted" as const },
      { ...caller, policy: "hr-bot" },
    ])
      expect((await router.decide(question({ caller: known }), "req-1")).sticky).toBe(false);
    expect(pinned).toEqual([]);
    await router.decide(question({ caller: { ...caller, classFloor: "personal" } }), "req-1");
    expect(pinned).toEqual(["k1 restricted"]);
  });

  test("with the house down private data are refused", async () => {
    const { router } = setUp({
      class: "restricted",
      ports: { local: { autoModel: () => undefined, isInstalled: () => false, isUp: () => false } },
    });
    expect((await router.judge(question())).route).toMatchObject({
      action: "refuse",
      why: "onprem_unavailable",
    });
  });

  test("a model that is no text is none", async () => {
    const { router } = setUp();
    expect((await router.judge(question({ body: { model: 3, prompt: "x" } }))).wanted).toEqual({
      kind: "unknown",
    });
    expect((await router.judge(question({ body: { model: null, prompt: "x" } }))).wanted).toEqual({
      kind: "auto",
    });
  });
});
