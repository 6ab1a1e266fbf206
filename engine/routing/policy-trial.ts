/**
 * What a policy says about a request, whatever is up or installed here: the real router in a house where every backend
 * that is configured answers, and where those that only the policy names are imagined. For a policy's probes.
 */
import type { DataClass } from "../core/data-class.ts";
import type { Policy, Zone } from "../core/policy.ts";
import type { GenerationRequest } from "../core/request.ts";
import type { Verdict } from "../core/route.ts";
import { LOCAL, type NamedBackend } from "./model-names.ts";
import { type KnownBackend, Router, type RouterPorts } from "./router.ts";

export interface TrialPorts extends Pick<RouterPorts, "classify" | "isReleasable" | "aliases"> {
  /** All but the engine of this process, in the order of the configuration. */
  readonly backends: readonly (NamedBackend & { readonly zone: Zone })[];
  readonly local: { readonly autoModel: string; readonly isInstalled: (model: string) => boolean };
  /** What a backend would be asked; throws where the body is none. */
  readonly draft: (body: object) => readonly GenerationRequest[];
}

export interface TrialQuestion {
  /** A chat or completion body. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Name of the key's policy. */
  readonly key: string | undefined;
  readonly agent: string | undefined;
  /** The headers `x-weir-class` and `x-weir-source`. */
  readonly label: string | undefined;
  readonly source: string | undefined;
}

export interface TrialVerdict {
  readonly class: DataClass;
  readonly zone: Zone;
  readonly action: "serve" | "refuse";
  /** Ids of the rules that voted, without repetition. */
  readonly rules: readonly string[];
}

/** Nothing is generated, pinned or recorded. */
export async function tryPolicy(
  question: TrialQuestion,
  policy: Policy,
  ports: TrialPorts,
): Promise<TrialVerdict> {
  const { body } = question;
  const asked = typeof body["model"] === "string" ? body["model"] : undefined;
  const { route, evidence } = await judgeTrial(question, policy, {
    ...ports,
    backends: [...ports.backends, ...imagined(policy, ports.backends, asked)],
    local: {
      ...ports.local,
      isInstalled: (model) => ports.local.isInstalled(model) || asked === `${LOCAL}/${model}`,
    },
  });
  const { class: dataClass, zone, action } = route;
  return { class: dataClass, zone, action, rules: [...new Set(evidence.map(({ rule }) => rule))] };
}

/** The same with the backends that are configured, and with all that a verdict says. */
export async function judgeTrial(
  { body, key, agent, label, source }: TrialQuestion,
  policy: Policy,
  { classify, isReleasable, backends, local, aliases, draft }: TrialPorts,
): Promise<Verdict> {
  const router = new Router({
    policy: () => policy,
    ...{ classify, isReleasable },
    backends: backends.map(alwaysUp),
    local: { autoModel: () => local.autoModel, isInstalled: local.isInstalled, isUp: () => true },
    aliases,
    pins: { lookup: () => undefined, remember: () => undefined },
    record: () => {
      throw new Error("a trial decides nothing");
    },
    topicModel: null,
  });
  return router.judge({
    caller: { id: "(trial)", name: "(trial)", policy: key, classFloor: "public", models: [] },
    ...{ label, source, agent, body },
    bytes: Buffer.byteLength(JSON.stringify(body)),
    draft: () => draft(body),
  });
}

const alwaysUp = (backend: NamedBackend & { readonly zone: Zone }): KnownBackend => ({
  ...backend,
  isUp: () => true,
});

/** Names that only the policy knows stand for clouds; and where there is none at all, one is there for every class. */
function imagined(
  policy: Policy,
  backends: TrialPorts["backends"],
  asked: string | undefined,
): TrialPorts["backends"] {
  const known = new Set([LOCAL, ...backends.map(({ name }) => name)]);
  const named = Object.values(policy.classes).flatMap((rule) => rule.backends);
  const missing = [...new Set(named)].filter((name) => !known.has(name));
  const hasCloud = missing.length > 0 || backends.some(({ zone }) => zone === "cloud");
  const cloud = known.has("cloud") ? "imagined-cloud" : "cloud";
  return (hasCloud ? missing : [cloud]).map((name) => {
    const model = asked?.startsWith(`${name}/`) === true ? asked.slice(name.length + 1) : "any";
    return { name, zone: "cloud", models: [model], autoModel: model };
  });
}
