/**
 * Facts about a request -> where it runs. Pure. The order of the questions is the safety of it: first what the data is, then
 * where that may be, and only then what was asked for and what is there. A zone is never widened by what is down.
 */
import { atLeast, type DataClass, maxClass } from "../core/data-class.ts";
import { type KeyRule, NEVER_CLOUD, type Policy, STRICTEST_KEY, type Zone } from "../core/policy.ts";
import type { Refusal, Route, Wanted } from "../core/route.ts";

export interface BackendFacts {
  readonly name: string;
  readonly zone: Zone;
  /** False while its circuit breaker is open or it does not answer. */
  readonly up: boolean;
  /** Names of the model that it gives to `auto`: rules that list models must list one of them, or `auto`. */
  readonly autoNames: readonly string[];
}

export interface RouteFacts {
  /** Of the request's content and labels. */
  readonly class: DataClass;
  /** The conversation was above this before: it stays there. */
  readonly pinned: DataClass | undefined;
  /** Name of the key's policy; undefined where it has none. */
  readonly keyPolicy: string | undefined;
  /** Models that the key itself was made for; empty: all. */
  readonly keyModels: readonly string[];
  /** The agent that the request says to be of. */
  readonly agent: string | undefined;
  readonly wanted: Wanted;
  /** In the order of the configuration. */
  readonly backends: readonly BackendFacts[];
}

export function decideRoute(facts: RouteFacts, policy: Policy): Route {
  const rules = [
    ...rulesOf(facts.keyPolicy, policy.keys),
    ...rulesOf(facts.agent, policy.agents),
    { classFloor: "public" as const, zone: undefined, models: facts.keyModels },
  ];
  const dataClass = rules.reduce(
    (highest, { classFloor }) => maxClass(highest, classFloor),
    maxClass(facts.class, facts.pinned ?? "public"),
  );
  const rule = policy.classes[dataClass];
  const mayLeave =
    !NEVER_CLOUD.some((never) => atLeast(dataClass, never)) &&
    rule?.zone === "cloud" &&
    rules.every(({ zone }) => zone !== "onprem");
  const mayName = (names: readonly string[]): boolean =>
    rules.every(({ models }) => models.length === 0 || names.some((name) => models.includes(name)));
  const refuse = (zone: Zone, why: Refusal): Route => ({ action: "refuse", class: dataClass, zone, why });
  const pseudonymise = rule?.pseudonymise === true;
  const suitable = facts.backends.filter(
    (backend) => allowed(rule?.backends, backend) && mayName([...backend.autoNames, "auto"]),
  );
  // Where it would run with everything up: nobody is told of a cloud where none is set up for it.
  const homeZone: Zone = mayLeave && suitable.some(({ zone }) => zone === "cloud") ? "cloud" : "onprem";

  const { wanted } = facts;
  if (wanted.kind === "unknown") return refuse(homeZone, "model_not_found");
  if (wanted.kind === "named") {
    if (!mayName(wanted.names)) return refuse(homeZone, "model_not_allowed");
    const backend = facts.backends.find(({ name }) => name === wanted.backend);
    if (backend === undefined) return refuse(homeZone, "model_not_found");
    if (backend.zone === "onprem" || mayLeave) {
      if (!allowed(rule?.backends, backend)) return refuse(homeZone, "model_not_allowed");
      if (!backend.up) return refuse(backend.zone, unavailable(backend.zone));
      return serve(dataClass, backend.zone, [backend], pseudonymise);
    }
    if (policy.explicitCloud === "refuse") return refuse("onprem", "private_data");
  }
  // Downwards never: what may leave is served in the house where no cloud is there for it, and not the other way round.
  for (const zone of mayLeave ? (["cloud", "onprem"] as const) : (["onprem"] as const)) {
    const up = suitable.filter((backend) => backend.zone === zone && backend.up);
    if (up.length > 0) return serve(dataClass, zone, inOrder(up, rule?.backends), pseudonymise);
  }
  const configured = facts.backends.filter(({ zone }) => mayLeave || zone === "onprem");
  if (configured.length > 0 && !configured.some((backend) => suitable.includes(backend)))
    return refuse(homeZone, "model_not_allowed");
  return refuse(homeZone, unavailable(homeZone));
}

const unavailable = (zone: Zone): Refusal => (zone === "onprem" ? "onprem_unavailable" : "cloud_unavailable");

function serve(
  dataClass: DataClass,
  zone: Zone,
  backends: readonly BackendFacts[],
  pseudonymise: boolean,
): Route {
  return {
    action: "serve",
    class: dataClass,
    zone,
    backends: backends.map(({ name }) => name),
    pseudonymise: zone === "cloud" && pseudonymise,
  };
}

function rulesOf(name: string | undefined, rules: ReadonlyMap<string, KeyRule>): readonly KeyRule[] {
  return name === undefined ? [] : [rules.get(name) ?? STRICTEST_KEY];
}

/** A list of backends binds only those of a zone that it names at all: an on-prem engine is open to every class. */
function allowed(list: readonly string[] | undefined, { name, zone }: BackendFacts): boolean {
  return list === undefined || list.length === 0 || zone === "onprem" || list.includes(name);
}

function inOrder(candidates: readonly BackendFacts[], list: readonly string[] = []): readonly BackendFacts[] {
  const place = ({ name }: BackendFacts): number => {
    const index = list.indexOf(name);
    return index === -1 ? list.length : index;
  };
  return [...candidates].sort((a, b) => place(a) - place(b));
}
