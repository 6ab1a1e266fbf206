/** `weir route explain`: what `POST /v1/route/explain` says, without a server. */
import { readFileSync, statSync } from "node:fs";
import { DATA_CLASSES } from "../../engine/core/data-class.ts";
import type { Explanation, Verdict } from "../../engine/core/route.ts";
import { judgeTrial } from "../../engine/routing/policy-trial.ts";
import { type Config, loadConfig } from "../config.ts";
import { BUILT_IN_POLICY } from "../policy/built-in.ts";
import { type LoadedPolicy, parsePolicy } from "../policy/policy-file.ts";
import { readPolicyFile } from "../policy/policy-store.ts";
import { CommandFailure, type ExitCode } from "./failure.ts";
import { trialPorts } from "./policy-world.ts";
import { type ConfigFlags, flagSettings } from "./settings.ts";
import { table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface ExplainFlags extends ConfigFlags {
  readonly text?: string;
  readonly label?: string;
  readonly source?: string;
  readonly agent?: string;
  readonly keyPolicy?: string;
  readonly json?: boolean;
}

/** As much as a server takes by default. */
const BODY_BYTES_MAX = 8 * 2 ** 20;

/** `file` holds a chat or completion body; without it, and without --text, standard input does. */
export async function routeExplain(
  file: string | undefined,
  flags: ExplainFlags,
  terminal: Terminal,
): Promise<ExitCode> {
  const config = loadConfig({ file: flags.config, flags: flagSettings(flags) });
  const { policy } = await policyOf(config);
  if (flags.keyPolicy !== undefined && !policy.keys.has(flags.keyPolicy))
    terminal.err(
      `weir: warning: the policy has no rules for keys named ${flags.keyPolicy}; they are held to the strictest.`,
    );
  const question = {
    body: await bodyOf(file, flags, terminal),
    key: flags.keyPolicy,
    ...{ agent: flags.agent, label: flags.label, source: flags.source },
  };
  const explanation = explained(await judgeTrial(question, policy, trialPorts(config)));
  if (flags.json === true) terminal.out(JSON.stringify(explanation, undefined, 2));
  else for (const line of shown(explanation)) terminal.out(line);
  return 0;
}

async function policyOf({ routing: { policyFile } }: Config): Promise<LoadedPolicy> {
  return policyFile === undefined
    ? BUILT_IN_POLICY
    : parsePolicy(await readPolicyFile(policyFile), policyFile);
}

async function bodyOf(
  file: string | undefined,
  { text }: ExplainFlags,
  terminal: Terminal,
): Promise<Readonly<Record<string, unknown>>> {
  if (text !== undefined) return { messages: [{ role: "user", content: text }] };
  const given = file === undefined ? await terminal.input(BODY_BYTES_MAX) : readBody(file);
  if (given === undefined || given.trim() === "") {
    throw new CommandFailure(
      2,
      "Give a file with a chat or completion body, one on standard input, or --text TEXT.",
    );
  }
  const name = file ?? "Standard input";
  let body: unknown;
  try {
    body = JSON.parse(given);
  } catch {
    throw new CommandFailure(1, `${name} is not valid JSON. For plain text use --text.`);
  }
  if (typeof body === "object" && body !== null && !Array.isArray(body)) return { ...body };
  throw new CommandFailure(1, `${name} is no JSON object, such as {"messages": [...]} or {"prompt": "..."}.`);
}

function readBody(file: string): string {
  const { size } = statSync(file);
  if (size > BODY_BYTES_MAX)
    throw new CommandFailure(1, `${file} has ${size} bytes; a body may have ${BODY_BYTES_MAX}.`);
  return readFileSync(file, "utf8");
}

function explained({ route, targets, evidence, policy, confidence }: Verdict): Explanation {
  const { class: dataClass, zone, action } = route;
  return {
    class: dataClass,
    zone,
    action,
    backend: targets[0]?.backend ?? null,
    evidence,
    policy,
    confidence,
  };
}

function shown({ evidence, backend, confidence, ...facts }: Explanation): readonly string[] {
  const rows = Object.entries({ ...facts, backend: backend ?? "-", confidence: confidence.toFixed(2) });
  const width = Math.max(...rows.map(([name]) => name.length));
  const votes = [...evidence].sort((a, b) => DATA_CLASSES.indexOf(b.class) - DATA_CLASSES.indexOf(a.class));
  return [
    ...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    ...(votes.length === 0
      ? ["no rule spoke"]
      : [
          "",
          ...table([["class", "rule", "where"], ...votes.map((vote) => [vote.class, vote.rule, vote.where])]),
        ]),
  ];
}
