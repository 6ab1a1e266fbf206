/** Probes: those of the policies that come with weir pass with the real classifier, and a miss is told without its text. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { classify } from "../../engine/routing/classify.ts";
import { type TrialPorts, tryPolicy } from "../../engine/routing/policy-trial.ts";
import { createTopicModel, readTopicModel } from "../../engine/routing/topic-model.ts";
import { BUILT_IN_POLICY } from "../../server/policy/built-in.ts";
import { type LoadedPolicy, parsePolicy } from "../../server/policy/policy-file.ts";
import { type Explain, missMessage, missProblem, runProbes } from "../../server/policy/probes.ts";

const read = (path: string): Buffer => readFileSync(new URL(`../../${path}`, import.meta.url));
const topics = createTopicModel(readTopicModel(read("engine/routing/topic-model.bin")));
const PORTS: TrialPorts = {
  classify: async (body, declared) => classify(body, { topics, declared }),
  isReleasable: async () => true,
  backends: [],
  local: { autoModel: "small", isInstalled: (model) => model === "small" },
  aliases: {},
  draft: () => [],
};
const explainWith =
  (ports: Partial<TrialPorts>): Explain =>
  (question, policy) =>
    tryPolicy(question, policy, { ...PORTS, ...ports });
const fromDocs = (path: string): string =>
  /```yaml\n(version: 1\n[\s\S]*?)```/.exec(read(path).toString())?.[1] ?? "";
const EXAMPLE = parsePolicy(read("policy.example.yaml").toString(), "policy.example.yaml");

const vllm = { name: "vllm", zone: "onprem", models: ["large"], autoModel: "large" } as const;
const openai = { name: "openai", zone: "cloud", models: ["gpt-4.1"], autoModel: "gpt-4.1" } as const;

describe.each([
  ["the policy that comes with weir", BUILT_IN_POLICY],
  ["policy.example.yaml", EXAMPLE],
  ["the policy in docs/policy.md", parsePolicy(fromDocs("docs/policy.md"), "docs/policy.md")],
])("%s", (_, loaded: LoadedPolicy) => {
  test.each([
    ["nothing configured", []],
    ["an on-prem server", [vllm]],
    ["a cloud too", [vllm, openai]],
  ])("does what its author meant with %s", async (_name, backends) => {
    expect((await runProbes(loaded, explainWith({ backends }))).map(missProblem)).toEqual([]);
  });

  test("sends nothing out where the classifier fails, and its probes show it", async () => {
    const failing = explainWith({
      classify: async () => ({ class: "restricted", evidence: [], confidence: 1 }),
    });
    const misses = await runProbes(loaded, failing);
    expect(misses.length).toBeGreaterThan(0);
    for (const { got } of misses) expect(got?.zone).toBe("onprem");
  });
});

test("the policy that comes with weir keeps all but public text, and has probes", () => {
  const { policy, probes } = BUILT_IN_POLICY;
  const zones = Object.entries(policy.classes).map(([name, { zone }]) => `${name} ${zone}`);
  expect(zones).toEqual(["public cloud", "internal onprem", "personal onprem", "restricted onprem"]);
  expect(policy.explicitCloud).toBe("refuse");
  expect(probes.length).toBeGreaterThanOrEqual(12);
});

describe("a probe", () => {
  const loaded = (probe: string, rules = ""): LoadedPolicy =>
    parsePolicy(
      `version: 1\nclasses: { public: { zone: cloud } }\n${rules}probes:\n  - ${probe}\n`,
      "p.yaml",
    );
  const missesOf = async (probe: string, rules?: string) =>
    (await runProbes(loaded(probe, rules), explainWith({}))).map(missMessage);

  test("says what it expected, what it got and which rules spoke, and nothing of its text", async () => {
    const policy = loaded(
      '{ name: it leaves, request: { prompt: "IBAN DE89 3704 0044 0532 0130 00" }, expect: { zone: cloud, class: public } }',
    );
    const [miss] = (await runProbes(policy, explainWith({}))).map(missProblem);
    expect(miss).toMatchObject({ where: "p.yaml:4", path: 'probe "it leaves"' });
    expect(miss?.message).toMatch(
      /^expected class public, zone cloud, got class personal, zone onprem, action serve \(by .*id\.iban.*\)$/,
    );
  });

  test("is asked as its caller would ask: key, agent, label, source and model", async () => {
    const expecting =
      "request: { prompt: Good morning }, expect: { class: public, zone: cloud, action: serve }";
    const rules =
      "keys: { shop: {}, hr: { class_floor: restricted } }\nagents: { hr: { class_floor: personal } }\n";
    expect(await missesOf(`{ name: a, key: shop, ${expecting} }`, rules)).toEqual([]);
    for (const [said, got] of [
      ["key: hr", "class restricted"],
      ["agent: hr", "class personal"],
      ["label: internal", "class internal"],
      ["source: elsewhere", "class restricted"],
      ["model: local/anything", "class public, zone onprem"],
      ["model: nobody/anything", "action refuse"],
    ] as const) {
      expect(await missesOf(`{ name: a, ${said}, ${expecting} }`, rules), said).toMatchObject([
        expect.stringContaining(`got ${got}`.replace("got action", "")),
      ]);
    }
  });

  test("that names a cloud which only the policy knows finds it", async () => {
    const rules = "keys: { shop: {} }\n";
    const text = `version: 1\nclasses: { public: { zone: cloud, backends: [later] } }\n${rules}probes:
  - { name: a, model: later/any, request: { prompt: Good morning }, expect: { zone: cloud, action: serve } }\n`;
    expect(await runProbes(parsePolicy(text, "p"), explainWith({}))).toEqual([]);
    expect(await runProbes(parsePolicy(text, "p"), explainWith({ backends: [openai] }))).toEqual([]);
  });
});
