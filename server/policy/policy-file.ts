/**
 * policy.yaml: which data may go where, as data. One strict schema; every problem is reported at once, with its place in the
 * file. A policy without a word for a class keeps that class in the house.
 */
import { z } from "zod";
import { atLeast, DATA_CLASSES, type DataClass } from "../../engine/core/data-class.ts";
import { type ClassRule, type KeyRule, NEVER_CLOUD, type Policy } from "../../engine/core/policy.ts";
import { checkYaml, contentHash, YamlFileError } from "../checked-yaml.ts";

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/, "must be a name of letters, digits and ._/-");
/** Tools and sources are named by others, so more is allowed in their names. */
const foreignName = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9._:@/-]{0,127}$/, "must be a name of letters, digits and ._:@/-");
/** As clients send it: a model, an alias, `BACKEND/MODEL`. */
const modelName = z
  .string()
  .regex(/^[\x21-\x7e]{1,200}$/, "must be 1 to 200 plain characters without spaces");
const zone = z.enum(["onprem", "cloud"]);
const dataClass = z.enum(DATA_CLASSES);

const ClassRuleSchema = z.strictObject({
  zone: zone.default("onprem"),
  pseudonymise: z.boolean().optional(),
  backends: z.array(name).max(64).default([]),
});

const KeyRuleSchema = z.strictObject({
  class_floor: dataClass.default("public"),
  zone: zone.optional(),
  models: z.array(modelName).max(256).default([]),
});

/** A request and what must become of it: `weir policy test` runs them. */
const ProbeSchema = z.strictObject({
  name: z.string().min(1).max(200),
  /** Name of a key's policy. */
  key: name.optional(),
  /** The agent that the request says to be of. */
  agent: name.optional(),
  /** What the caller puts into `x-weir-class`; one that is no class is a probe too. */
  label: z.string().min(1).max(64).optional(),
  /** What the caller puts into `x-weir-source`. */
  source: foreignName.optional(),
  /** What the caller names as `model`. */
  model: modelName.optional(),
  /** A chat or completion body. */
  request: z.record(z.string(), z.unknown()),
  expect: z
    .strictObject({ class: dataClass, zone, action: z.enum(["serve", "refuse"]) })
    .partial()
    .refine(
      (expected) => Object.keys(expected).length > 0,
      "must expect something: a class, a zone or an action",
    ),
});

const PolicySchema = z.strictObject({
  version: z.literal(1),
  explicit_cloud: z.enum(["refuse", "reroute"]).default("refuse"),
  classes: z.partialRecord(dataClass, ClassRuleSchema).default({}),
  keys: z.record(name, KeyRuleSchema).default({}),
  agents: z.record(name, KeyRuleSchema).default({}),
  tools: z.record(foreignName, dataClass).default({}),
  connectors: z.record(foreignName, dataClass).default({}),
  probes: z.array(ProbeSchema).max(10_000).default([]),
});
type PolicyFile = z.infer<typeof PolicySchema>;
/** With the place where it stands: `policy.yaml:12`. */
export type Probe = z.infer<typeof ProbeSchema> & { readonly where: string };

/** Why a policy cannot be. The one in force stays in force. */
export class PolicyError extends YamlFileError {
  override readonly name = "PolicyError";
}

export interface LoadedPolicy {
  readonly policy: Policy;
  readonly probes: readonly Probe[];
}

/** `file` is only for messages. Throws PolicyError. */
export function parsePolicy(text: string, file: string): LoadedPolicy {
  const { data, problem } = checkYaml(text, file, {
    schema: PolicySchema,
    noun: "policy",
    error: PolicyError,
  });
  const crossed = crossProblems(data).map(([path, message]) => problem(path, message));
  if (crossed.length > 0) throw new PolicyError(crossed);
  const probes = data.probes.map((probe, index) => ({
    ...probe,
    where: problem(["probes", index], "").where,
  }));
  return { policy: policyOf(data), probes };
}

type Crossed = readonly [path: readonly PropertyKey[], message: string];

/** What no single field shows: classes that may not leave, zones that would open again as classes rise, dead names. */
function crossProblems(file: PolicyFile): readonly Crossed[] {
  return [...classProblems(file), ...ruleProblems(file), ...probeProblems(file)];
}

function* classProblems({ classes }: PolicyFile): Iterable<Crossed> {
  for (const each of DATA_CLASSES) {
    const rule = classes[each];
    if (rule === undefined) continue;
    if (NEVER_CLOUD.includes(each) && rule.zone === "cloud")
      yield [["classes", each, "zone"], `must be onprem: ${each} data never leaves the house`];
    if (each === "internal" && rule.zone === "cloud" && rule.pseudonymise === false)
      yield [
        ["classes", each, "pseudonymise"],
        "must be true: internal text goes to a cloud only pseudonymised",
      ];
    if (each !== "internal" && rule.pseudonymise === true)
      yield [
        ["classes", each, "pseudonymise"],
        "is for internal only: public text needs none, the others stay",
      ];
  }
  if (classes.internal?.zone === "cloud" && classes.public?.zone !== "cloud")
    yield [
      ["classes", "internal", "zone"],
      "must be onprem while public is: a higher class cannot have more freedom",
    ];
}

function* ruleProblems(file: PolicyFile): Iterable<Crossed> {
  for (const section of ["keys", "agents"] as const) {
    for (const [each, { class_floor: floor, zone: where }] of Object.entries(file[section])) {
      if (where === "cloud" && NEVER_CLOUD.some((never) => atLeast(floor, never)))
        yield [[section, each, "zone"], `must be onprem: its class_floor, ${floor}, never leaves the house`];
    }
  }
}

function* probeProblems({ keys, agents, probes }: PolicyFile): Iterable<Crossed> {
  const seen = new Set<string>();
  for (const [index, probe] of probes.entries()) {
    const at = (field: string): readonly PropertyKey[] => ["probes", index, field];
    if (seen.has(probe.name)) yield [at("name"), "is the name of a probe before it"];
    seen.add(probe.name);
    if (probe.key !== undefined && !Object.hasOwn(keys, probe.key))
      yield [at("key"), `there are no rules for a key policy named ${probe.key}`];
    if (probe.agent !== undefined && !Object.hasOwn(agents, probe.agent))
      yield [at("agent"), `there are no rules for an agent named ${probe.agent}`];
    if (probe.model !== undefined && probe.request["model"] !== undefined)
      yield [at("model"), "stands in the request too; name the model in one place"];
  }
}

function policyOf(file: PolicyFile): Policy {
  const rule = (each: DataClass): ClassRule => {
    const { zone: where = "onprem", backends = [] } = file.classes[each] ?? {};
    return { zone: where, pseudonymise: each === "internal" && where === "cloud", backends };
  };
  const keyRules = (rules: PolicyFile["keys"]): ReadonlyMap<string, KeyRule> =>
    new Map(
      Object.entries(rules).map(([each, { class_floor: classFloor, zone: where, models }]) => [
        each,
        { classFloor, zone: where, models },
      ]),
    );
  const { probes: _, ...rules } = file;
  return {
    // Of the rules with their defaults: a comment, an order or a probe more is no other policy.
    hash: contentHash(rules),
    classes: {
      public: rule("public"),
      internal: rule("internal"),
      personal: rule("personal"),
      restricted: rule("restricted"),
    },
    keys: keyRules(file.keys),
    agents: keyRules(file.agents),
    tools: new Map(Object.entries(file.tools)),
    connectors: new Map(Object.entries(file.connectors)),
    explicitCloud: file.explicit_cloud,
  };
}
