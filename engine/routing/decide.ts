/**
 * Facts about a request -> where it runs. Pure. The order of the questions is the safety of it: first what the data is, then
 * where that may be, and only then what was asked for and what is there. A zone is never widened by what is down.
 */
import { atLeast, type DataClass, maxClass } from "../core/data-class.ts";
import { type KeyRule, NEVER_CLOUD, type Policy, STRICTEST_KEY, type Zone } from "../core/policy.ts";

export interface BackendFacts {
  readonly name: string;
  readonly zone: Zone;
  /** False while its circuit breaker is open or it does not answer. */
  readonly up: boolean;
}

/** What the client named as `model`. */
export type Wanted =
  | { readonly kind: "auto" }
  /** `local/NAME`, `BACKEND/NAME`, a bare local name or an alias, resolved to a backend. */
  | { readonly kind: "named"; readonly model: string; readonly backend: string }
  | { readonly kind: "unknown"; readonly model: string };

export interface RouteFacts {
  /** Of the request's content and labels. */
  readonly class: DataClass;
  /** The conversation was above this before: it stays there. */
  readonly pinned: DataClass | undefined;
  /** Name of the key's policy; undefined where there are no keys. */
  readonly keyPolicy: string | undefined;
  readonly wanted: Wanted;
  /** In the order of the configuration. */
  readonly backends: readonly BackendFacts[];
}

export type Refusal =
  /** 403: a cloud was named, and the data may not go there. */
  | "private_data"
  /** 403: the key may not name this model. */
  | "model_not_allowed"
  /** 404. */
  | "model_not_found"
  /** 503: everything in the zone that could serve is down. */
  | "onprem_unavailable"
  | "cloud_unavailable";

export type Route =
  | {
      readonly action: "serve";
      readonly class: DataClass;
      readonly zone: Zone;
      /** All of one zone, best first; the first is tried first. Never empty. */
      readonly backends: readonly string[];
      readonly pseudonymise: boolean;
    }
  | {
      readonly action: "refuse";
      readonly class: DataClass;
      /** Where it would have to run. */
      readonly zone: Zone;
      readonly why: Refusal;
    };

export function decideRoute(facts: RouteFacts, policy: Policy): Route {
  const key = keyRule(facts, policy);
  const floor = maxClass(key?.classFloor ?? "public", facts.pinned ?? "public");
  const dataClass = maxClass(facts.class, floor);
  const rule = policy.classes[dataClass];
  const mayLeave =
    !NEVER_CLOUD.some((never) => atLeast(dataClass, never)) &&
    rule?.zone === "cloud" &&
    key?.zone !== "onprem";
  const refuse = (zone: Zone, why: Refusal): Route => ({ action: "refuse", class: dataClass, zone, why });
  const homeZone: Zone = mayLeave ? "cloud" : "onprem";

  const { wanted } = facts;
  if (wanted.kind === "unknown") return refuse(homeZone, "model_not_found");
  if (wanted.kind === "named") {
    if (key !== undefined && key.models.length > 0 && !key.models.includes(wanted.model))
      return refuse(homeZone, "model_not_allowed");
    const backend = facts.backends.find(({ name }) => name === wanted.backend);
    if (backend === undefined) return refuse(homeZone, "model_not_found");
    if (backend.zone === "onprem" || mayLeave) {
      if (!allowed(rule?.backends, backend)) return refuse(homeZone, "model_not_allowed");
      return serve(dataClass, backend.zone, [backend], rule?.pseudonymise === true, refuse);
    }
    if (policy.explicitCloud === "refuse") return refuse("onprem", "private_data");
  }
  const candidates = facts.backends.filter(
    (backend) => backend.zone === homeZone && allowed(rule?.backends, backend),
  );
  return serve(dataClass, homeZone, inOrder(candidates, rule?.backends), rule?.pseudonymise === true, refuse);
}

function serve(
  dataClass: DataClass,
  zone: Zone,
  candidates: readonly BackendFacts[],
  pseudonymise: boolean,
  refuse: (zone: Zone, why: Refusal) => Route,
): Route {
  const up = candidates.filter((backend) => backend.up).map(({ name }) => name);
  if (up.length === 0) return refuse(zone, zone === "onprem" ? "onprem_unavailable" : "cloud_unavailable");
  return {
    action: "serve",
    class: dataClass,
    zone,
    backends: up,
    pseudonymise: zone === "cloud" && pseudonymise,
  };
}

function keyRule({ keyPolicy }: RouteFacts, { keys }: Policy): KeyRule | undefined {
  if (keyPolicy === undefined) return undefined;
  return keys.get(keyPolicy) ?? STRICTEST_KEY;
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
