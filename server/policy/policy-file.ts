/**
 * policy.yaml: which data may go where, as data. One strict schema; every problem is reported at once, with its place in the
 * file. A policy without a word for a class keeps that class in the house.
 */
import { createHash } from "node:crypto";
import { type Document, LineCounter, parseDocument, type YAMLError } from "yaml";
import { z } from "zod";
import { atLeast, DATA_CLASSES, type DataClass } from "../../engine/core/data-class.ts";
import { type ClassRule, type KeyRule, NEVER_CLOUD, type Policy } from "../../engine/core/policy.ts";

/** Larger files are refused before they are parsed. */
export const FILE_BYTES_MAX = 1024 * 1024;

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

export interface PolicyProblem {
  /** `policy.yaml:7`, or without a line where none is at fault. */
  readonly where: string;
  /** `classes.internal.zone`; empty where no single key is at fault. */
  readonly path: string;
  readonly message: string;
}

/** A file that is none of a policy may have more problems than anybody reads. */
const PROBLEMS_MAX = 100;

/** The message lists the problems, one a line. The policy in force stays in force. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
  readonly problems: readonly PolicyProblem[];
  constructor(problems: readonly PolicyProblem[]) {
    const more = problems.length - PROBLEMS_MAX;
    const listed =
      more <= 0
        ? problems
        : [...problems.slice(0, PROBLEMS_MAX), { where: "", path: "", message: `and ${more} more` }];
    super(listed.map(formatProblem).join("\n"));
    this.problems = listed;
  }
}

/** One line. It never holds text of a probe's request. */
export const formatProblem = ({ where, path, message }: PolicyProblem): string =>
  [where, path, message].filter((part) => part !== "").join(": ");

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
  const lineCounter = new LineCounter();
  const document = documentOf(text, lineCounter, file);
  // An unknown tag is only a warning to YAML; here nothing is guessed.
  const malformed: readonly YAMLError[] = [...document.errors, ...document.warnings];
  if (malformed.length > 0) {
    throw new PolicyError(
      malformed.map((error) => ({
        where: `${file}:${error.linePos?.[0].line ?? 1}`,
        path: "",
        message: yamlMessage(error),
      })),
    );
  }
  const lineOf = (path: readonly PropertyKey[]): number | undefined => {
    for (let depth = path.length; depth > 0; depth -= 1) {
      const node = document.getIn(path.slice(0, depth), true) as { range?: readonly number[] } | undefined;
      if (node?.range?.[0] !== undefined) return lineCounter.linePos(node.range[0]).line;
    }
    return undefined;
  };
  const problem = (path: readonly PropertyKey[], message: string): PolicyProblem => {
    const line = lineOf(path);
    return {
      where: line === undefined ? file : `${file}:${line}`,
      path: path.map(String).map(asName).join("."),
      message,
    };
  };
  let raw: unknown;
  try {
    raw = document.toJS({ maxAliasCount: 100 });
  } catch {
    const message =
      "has an alias without an anchor before it, or aliases that multiply; write the values out";
    throw new PolicyError([{ where: file, path: "", message }]);
  }
  const lost = lostNames(raw).map((path) => problem(path, "cannot be used as a name"));
  if (lost.length > 0) throw new PolicyError(lost);
  const parsed = PolicySchema.safeParse(raw);
  if (!parsed.success) {
    throw new PolicyError(parsed.error.issues.map((issue) => problem(issue.path, issueMessage(issue))));
  }
  const crossed = crossProblems(parsed.data).map(([path, message]) => problem(path, message));
  if (crossed.length > 0) throw new PolicyError(crossed);
  const probes = parsed.data.probes.map((probe, index) => ({
    ...probe,
    where: problem(["probes", index], "").where,
  }));
  return { policy: policyOf(parsed.data), probes };
}

function documentOf(text: string, lineCounter: LineCounter, file: string): Document {
  try {
    return parseDocument(text, { lineCounter, prettyErrors: true, uniqueKeys: true });
  } catch {
    throw new PolicyError([{ where: file, path: "", message: "is nested too deeply to be read" }]);
  }
}

/** A schema drops this name without a word, and the rule would be lost. */
const lostNames = (raw: unknown): readonly (readonly string[])[] =>
  Object.entries(raw ?? {}).flatMap(([section, rules]: [string, unknown]) =>
    typeof rules === "object" && rules !== null && Object.hasOwn(rules, "__proto__")
      ? [[section, "__proto__"]]
      : [],
  );

/** Messages of these codes repeat what stands in the file, which may be text of a probe. */
const YAML_MESSAGES: Readonly<Record<string, string>> = {
  BAD_ALIAS: "is no alias",
  BAD_COLLECTION_TYPE: "has a tag that does not fit",
  BAD_DIRECTIVE: "has a directive that is not YAML's",
  BAD_DQ_ESCAPE: "has an escape that YAML does not know in a double-quoted text",
  TAG_RESOLVE_FAILED: "has a tag; a policy needs none",
};

function yamlMessage({ code, message }: YAMLError): string {
  // The first line without what it quotes; the rest shows the place in the file.
  const [said = ""] = message.split("\n");
  return YAML_MESSAGES[code] ?? said.replace(/ at line \d+, column \d+:?$/, "").replace(/: .*$/, "");
}

/** A key in a wrong place is repeated only where it looks like one: it may be a text that was indented wrongly. */
const asName = (key: string): string => (/^[\w.:@/-]{1,128}$/.test(key) ? key : "(a text)");

function issueMessage(issue: z.core.$ZodIssue): string {
  const odd = issue.code === "unrecognized_keys" && issue.keys.some((key) => asName(key) !== key);
  return odd ? "has a key that is none of a policy's" : issue.message;
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
    hash: createHash("sha256").update(canonical(rules)).digest("hex"),
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
