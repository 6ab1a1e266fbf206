/** `weir policy test | show | replay`. */
import { resolve } from "node:path";
import { DATA_CLASSES } from "../../engine/core/data-class.ts";
import type { KeyRule, Policy } from "../../engine/core/policy.ts";
import { parsedReceipt } from "../../engine/receipts/verify.ts";
import { formatProblem } from "../checked-yaml.ts";
import { type Config, loadConfig } from "../config.ts";
import { BUILT_IN_POLICY } from "../policy/built-in.ts";
import { type LoadedPolicy, parsePolicy } from "../policy/policy-file.ts";
import { readPolicyFile } from "../policy/policy-store.ts";
import { missProblem, runProbes } from "../policy/probes.ts";
import { CommandFailure, type ExitCode } from "./failure.ts";
import { backendFacts, explainIn } from "./policy-world.ts";
import { checkReceipts } from "./receipt-check.ts";
import { openReceipts, type ReceiptFiles } from "./receipt-files.ts";
import { formatPlaced } from "./receipts.ts";
import { type Outcome, Replay, type Replayed } from "./replay.ts";
import { type ConfigFlags, flagSettings } from "./settings.ts";
import { table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface PolicyFlags extends ConfigFlags {
  readonly json?: boolean;
}

interface Named extends LoadedPolicy {
  /** For people. */
  readonly name: string;
}

/** Exit code 1 where a probe misses. */
export async function policyTest(
  file: string | undefined,
  flags: PolicyFlags,
  terminal: Terminal,
): Promise<ExitCode> {
  const config = configOf(flags);
  const loaded = await open(file, config);
  const misses = (await runProbes(loaded, explainIn(config))).map(missProblem);
  const count = loaded.probes.length;
  if (flags.json === true) {
    const { hash } = loaded.policy;
    terminal.out(
      JSON.stringify({ ok: misses.length === 0, policy: hash, probes: count, misses }, undefined, 2),
    );
  } else {
    for (const miss of misses) terminal.out(formatProblem(miss));
    const passed = `${count - misses.length} of ${count} ${count === 1 ? "probe passes" : "probes pass"}`;
    terminal.out(`${passed}. Policy ${loaded.policy.hash} (${loaded.name})`);
    if (count === 0)
      terminal.err("weir: warning: it has no probes, so nothing was tested; docs/policy.md shows some.");
  }
  return misses.length === 0 ? 0 : 1;
}

export async function policyShow(
  file: string | undefined,
  flags: PolicyFlags,
  terminal: Terminal,
): Promise<ExitCode> {
  const config = configOf(flags);
  const { policy, probes, name } = await open(file, config);
  const strangers = unknownBackends(policy, config);
  if (flags.json === true) {
    const { keys, agents, tools, connectors, ...rest } = policy;
    const maps = { keys, agents, tools, connectors };
    const plain = Object.entries(maps).map(([section, rules]) => [section, Object.fromEntries(rules)]);
    terminal.out(
      JSON.stringify({ name, ...rest, ...Object.fromEntries(plain), probes: probes.length }, undefined, 2),
    );
  } else for (const line of described(policy, name, probes.length)) terminal.out(line);
  for (const each of strangers)
    terminal.err(`weir: warning: the policy names a backend ${each}, which the configuration does not have.`);
  return 0;
}

export interface ReplayFlags extends PolicyFlags {
  /** A file or folder of receipts. */
  readonly from: string;
  readonly key?: string;
  readonly list?: boolean;
  readonly unverified?: boolean;
}

/** Exit code 1 where the receipts are not whole and `unverified` does not say that they may be read all the same. */
export async function policyReplay(
  file: string | undefined,
  flags: ReplayFlags,
  terminal: Terminal,
): Promise<ExitCode> {
  const config = configOf(flags);
  const { policy, name } = await open(file, config);
  const base = (await open(undefined, config)).policy;
  const source = openReceipts(flags.from, flags.key);
  const lastSeq = wholeUpTo(source, flags.unverified === true, terminal);
  const backends = backendFacts(config);
  const replay = new Replay({ policy, base, backends, aliases: config.models.aliases });
  for (const { lines } of source.files) {
    for (const { text } of lines()) {
      const receipt = parsedReceipt(text);
      if (receipt === undefined || receipt.seq > lastSeq) continue;
      const change = replay.add(receipt);
      if (change === undefined || flags.list !== true) continue;
      const { receipt: id, was, becomes } = change;
      terminal.out(
        flags.json === true ? JSON.stringify(change) : `${id}  ${words(was)} -> ${words(becomes)}`,
      );
    }
  }
  const result = replay.result();
  if (flags.json === true) terminal.out(JSON.stringify({ policy: policy.hash, ...result }));
  else printReplay(result, `Policy ${policy.hash} (${name})`, backends, terminal);
  return 0;
}

/** The last record that may be read: what is written meanwhile was not checked. */
function wholeUpTo(source: ReceiptFiles, unverified: boolean, terminal: Terminal): number {
  const { problems, problemCount, last } = checkReceipts(source, { ids: [], fromSeq: undefined });
  if (problemCount === 0) return last?.seq ?? 0;
  for (const problem of problems) terminal.err(formatPlaced(problem));
  const count = `${problemCount} ${problemCount === 1 ? "problem" : "problems"}`;
  if (!unverified) {
    throw new CommandFailure(
      1,
      `These receipts have ${count}, so what they say proves nothing. --unverified replays them all the same.`,
    );
  }
  terminal.err(`weir: warning: the receipts have ${count}; what follows is only as true as they are.`);
  return Number.MAX_SAFE_INTEGER;
}

function printReplay(
  { decisions, samePolicy, untold, changed, changes }: Replayed,
  name: string,
  backends: readonly { readonly name: string }[],
  terminal: Terminal,
): void {
  terminal.out(
    `${name} would change ${changed} of ${decisions} ${decisions === 1 ? "decision" : "decisions"}.`,
  );
  if (changes.length > 0) {
    const rows = changes.map(({ was, becomes, count }) => [String(count), words(was), words(becomes)]);
    for (const line of table([["COUNT", "WAS", "WOULD BE"], ...rows])) terminal.out(line);
  }
  terminal.out(`Taken as up: ${backends.map((backend) => backend.name).join(", ")}.`);
  if (samePolicy > 0) terminal.out(`${samePolicy} were made by this very policy.`);
  if (untold > 0)
    terminal.out(
      `${untold} cannot be told: they name a backend that is not configured, or are of another version.`,
    );
}

const words = ({ class: value, zone, action }: Outcome): string => `${value} ${zone} ${action}`;

function* described(policy: Policy, name: string, probes: number): Generator<string> {
  const { classes, keys, agents, tools, connectors, explicitCloud } = policy;
  yield `Policy ${policy.hash} (${name}), with ${probes} ${probes === 1 ? "probe" : "probes"}`;
  yield "";
  yield* table([
    ["CLASS", "ZONE", "BACKENDS"],
    ...DATA_CLASSES.map((each) => {
      const { zone, pseudonymise, backends } = classes[each];
      const list = backends.length === 0 ? "all of the zone" : backends.join(", ");
      return [each, zone, pseudonymise ? `${list} (pseudonymised)` : list];
    }),
  ]);
  yield "";
  yield `A cloud model that is named for data that may not go there: ${explicitCloud}.`;
  for (const [what, rules] of [["KEY", keys] as const, ["AGENT", agents] as const])
    if (rules.size > 0)
      yield* ["", ...table([[what, "CLASS FLOOR", "ZONE", "MODELS"], ...[...rules].map(ruleRow)])];
  for (const [what, rules] of [["TOOL", tools] as const, ["SOURCE", connectors] as const])
    if (rules.size > 0) yield* ["", ...table([[what, "CLASS"], ...rules])];
}

const ruleRow = ([name, { classFloor, zone, models }]: readonly [string, KeyRule]): readonly string[] => [
  name,
  classFloor,
  zone === "onprem" ? "onprem" : "by class",
  models.length === 0 ? "all" : models.join(", "),
];

function unknownBackends({ classes }: Policy, { backends }: Config): readonly string[] {
  const named = new Set(Object.values(classes).flatMap((rule) => rule.backends));
  return [...named].filter((name) => name !== "local" && !Object.hasOwn(backends, name));
}

/** The file that is named, else the configured one, else the policy that comes with weir. */
async function open(file: string | undefined, { routing }: Config): Promise<Named> {
  const path = file === undefined ? routing.policyFile : resolve(file);
  if (path === undefined) return { ...BUILT_IN_POLICY, name: "the policy that comes with weir" };
  const name = file ?? path;
  return { ...parsePolicy(await readPolicyFile(path), name), name };
}

const configOf = (flags: ConfigFlags): Config =>
  loadConfig({ file: flags.config, flags: flagSettings(flags) });
