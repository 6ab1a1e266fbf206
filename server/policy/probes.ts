/**
 * A policy's own probes: requests with what must become of them. They are run when somebody asks (`weir policy test`) and
 * before a policy comes into force, so that a policy that does not do what its author meant never decides anything.
 */
import { setImmediate as breath } from "node:timers/promises";
import type { DataClass } from "../../engine/core/data-class.ts";
import type { Policy, Zone } from "../../engine/core/policy.ts";
import type { YamlProblem } from "../checked-yaml.ts";
import type { LoadedPolicy, Probe } from "./policy-file.ts";

/** A request as its caller would send it. */
export interface Question {
  /** A chat or completion body, with `model` where the probe names it. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Name of the key's policy. */
  readonly key: string | undefined;
  readonly agent: string | undefined;
  /** The headers `x-weir-class` and `x-weir-source`. */
  readonly label: string | undefined;
  readonly source: string | undefined;
}

export interface Explained {
  readonly class: DataClass;
  /** Where refused: where it would have to run. */
  readonly zone: Zone;
  readonly action: "serve" | "refuse";
  /** Ids of the rules that voted. */
  readonly rules: readonly string[];
}

/** What would become of a request under a policy, with every backend up. Nothing is generated. */
export type Explain = (question: Question, policy: Policy) => Explained | Promise<Explained>;

/** A probe that did not get what it expects. */
export interface ProbeMiss {
  readonly probe: Probe;
  /** Undefined where explaining failed. */
  readonly got: Explained | undefined;
}

/** The probes that miss. Other work gets its turn between two of them. It never rejects. */
export async function runProbes(
  { policy, probes }: LoadedPolicy,
  explain: Explain,
): Promise<readonly ProbeMiss[]> {
  const misses: ProbeMiss[] = [];
  for (const probe of probes) {
    const got = await answerTo(probe, policy, explain);
    if (got === undefined || !fits(probe, got)) misses.push({ probe, got });
    await breath();
  }
  return misses;
}

/** Expected and got, with the rules that spoke: nothing of the request. */
export function missMessage({ probe, got }: ProbeMiss): string {
  const expected = Object.entries(probe.expect)
    .map(([what, value]) => `${what} ${value}`)
    .join(", ");
  if (got === undefined) return `expected ${expected}, got an error: the classifier failed on it`;
  const rules = got.rules.length === 0 ? "no rule" : got.rules.join(", ");
  return `expected ${expected}, got class ${got.class}, zone ${got.zone}, action ${got.action} (by ${rules})`;
}

export const missProblem = (miss: ProbeMiss): YamlProblem => ({
  where: miss.probe.where,
  path: `probe ${JSON.stringify(miss.probe.name)}`,
  message: missMessage(miss),
});

async function answerTo(probe: Probe, policy: Policy, explain: Explain): Promise<Explained | undefined> {
  const { key, agent, label, source, model, request } = probe;
  const body = model === undefined ? request : { ...request, model };
  try {
    return await explain({ body, key, agent, label, source }, policy);
  } catch {
    // Its message might quote the request.
    return undefined;
  }
}

const fits = ({ expect }: Probe, got: Explained): boolean =>
  (expect.class === undefined || expect.class === got.class) &&
  (expect.zone === undefined || expect.zone === got.zone) &&
  (expect.action === undefined || expect.action === got.action);
