/**
 * policy.yaml: which data may go where, as data. One strict schema; every problem is reported at once, with its place in the
 * file. A policy without a word for a class keeps that class in the house.
 */
import { createHash } from "node:crypto";
import { parseDocument } from "yaml";
import { z } from "zod";
import { DATA_CLASSES, type DataClass } from "../../engine/core/data-class.ts";
import { type ClassRule, type KeyRule, NEVER_CLOUD, type Policy } from "../../engine/core/policy.ts";

/** Larger files are refused before they are parsed. */
const FILE_BYTES_MAX = 1024 * 1024;

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/, "must be a name of letters, digits and ._/-");
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
  models: z.array(name).max(256).default([]),
});

/** A request and what must become of it: `weir policy test` runs them. */
const ProbeSchema = z.strictObject({
  name: z.string().min(1).max(200),
  /** Name of a key's policy. */
  key: name.optional(),
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
  probes: z.array(ProbeSchema).max(10_000).default([]),
});
type PolicyFile = z.infer<typeof PolicySchema>;
export type Probe = z.infer<typeof ProbeSchema>;

export interface PolicyProblem {
  /** `policy.yaml:7`, or without a line where none is at fault. */
  readonly where: string;
  /** `classes.internal.zone`; empty where no single key is at fault. */
  readonly path: string;
  readonly message: string;
}

/** The message lists every problem, one a line. The policy in force stays in force. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
  readonly problems: readonly PolicyProblem[];
  constructor(problems: readonly PolicyProblem[]) {
    super(
      problems
        .map(({ where, path, message }) => [where, path, message].filter((part) => part !== "").join(": "))
        .join("\n"),
    );
    this.problems = problems;
  }
}

export interface LoadedPolicy {
  readonly policy: Policy;
  readonly probes: readonly Probe[];
}

/** `file` is only for messages. Throws PolicyError. */
export function parsePolicy(text: string, file: string): LoadedPolicy {
  if (Buffer.byteLength(text) > FILE_BYTES_MAX) {
    throw new PolicyError([{ where: file, path: "", message: `is larger than ${FILE_BYTES_MAX} bytes` }]);
  }
  // Aliases are counted, so that a few lines cannot grow to gigabytes.
  const document = parseDocument(text, { prettyErrors: true, uniqueKeys: true });
  if (document.errors.length > 0) {
    throw new PolicyError(
      document.errors.map((error) => ({
        where: `${file}:${error.linePos?.[0].line ?? 1}`,
        path: "",
        message: error.message.split("\n")[0] as string,
      })),
    );
  }
  const lineOf = (path: readonly PropertyKey[]): number | undefined => {
    for (let depth = path.length; depth > 0; depth -= 1) {
      const node = document.getIn(path.slice(0, depth), true) as { range?: readonly number[] } | undefined;
      if (node?.range?.[0] !== undefined) return text.slice(0, node.range[0]).split("\n").length;
    }
    return undefined;
  };
  const problem = (path: readonly PropertyKey[], message: string): PolicyProblem => {
    const line = lineOf(path);
    return {
      where: line === undefined ? file : `${file}:${line}`,
      path: path.map(String).join("."),
      message,
    };
  };
  let raw: unknown;
  try {
    raw = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new PolicyError([
      { where: file, path: "", message: error instanceof Error ? error.message : String(error) },
    ]);
  }
  const parsed = PolicySchema.safeParse(raw);
  if (!parsed.success) {
    throw new PolicyError(parsed.error.issues.map((issue) => problem(issue.path, issue.message)));
  }
  const crossed = crossProblems(parsed.data).map(([path, message]) => problem(path, message));
  if (crossed.length > 0) throw new PolicyError(crossed);
  return { policy: policyOf(parsed.data), probes: parsed.data.probes };
}

/** What no single field shows: classes that may not leave, and zones that would open again as classes rise. */
function crossProblems({
  classes,
  keys,
  probes,
}: PolicyFile): readonly (readonly [readonly PropertyKey[], string])[] {
  const problems: (readonly [readonly PropertyKey[], string])[] = [];
  for (const each of DATA_CLASSES) {
    const rule = classes[each];
    if (rule === undefined) continue;
    if (NEVER_CLOUD.includes(each) && rule.zone === "cloud")
      problems.push([["classes", each, "zone"], `must be onprem: ${each} data never leaves the house`]);
    if (each === "internal" && rule.zone === "cloud" && rule.pseudonymise === false)
      problems.push([
        ["classes", each, "pseudonymise"],
        "must be true: internal text goes to a cloud only pseudonymised",
      ]);
    if (each !== "internal" && rule.pseudonymise === true)
      problems.push([
        ["classes", each, "pseudonymise"],
        "is for internal only: public text needs none, the others stay",
      ]);
  }
  if (classes.internal?.zone === "cloud" && classes.public?.zone !== "cloud")
    problems.push([
      ["classes", "internal", "zone"],
      "must be onprem while public is: a higher class cannot have more freedom",
    ]);
  for (const [index, { key }] of probes.entries()) {
    if (key !== undefined && keys[key] === undefined)
      problems.push([["probes", index, "key"], `there are no rules for a key policy named ${key}`]);
  }
  return problems;
}

function policyOf(file: PolicyFile): Policy {
  const rule = (each: DataClass): ClassRule => {
    const { zone: where = "onprem", backends = [] } = file.classes[each] ?? {};
    return { zone: where, pseudonymise: each === "internal" && where === "cloud", backends };
  };
  const keyRule = (key: PolicyFile["keys"][string]): KeyRule => ({
    classFloor: key.class_floor,
    zone: key.zone,
    models: key.models,
  });
  const { probes: _, ...rules } = file;
  return {
    hash: createHash("sha256").update(canonical(rules)).digest("hex"),
    classes: {
      public: rule("public"),
      internal: rule("internal"),
      personal: rule("personal"),
      restricted: rule("restricted"),
    },
    keys: new Map(Object.entries(file.keys).map(([key, value]) => [key, keyRule(value)])),
    agents: new Map(),
    tools: new Map(),
    connectors: new Map(),
    explicitCloud: file.explicit_cloud,
  };
}

/** The rules with their defaults, keys in order: a comment, an order or a probe more is no other policy. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`)
    .join(",")}}`;
}
