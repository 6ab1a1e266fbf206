/** Where a request runs, why, and who asked: what the router says to the rest of the house. */
import type { DataClass } from "./data-class.ts";
import type { Evidence } from "./evidence.ts";
import type { Zone } from "./policy.ts";
import type { GenerationRequest } from "./request.ts";

export type Refusal =
  /** 403: a cloud was named, and the data may not go there. */
  | "private_data"
  /** 403: the key, its rules or its agent may not use this model. */
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

/** What the client named as `model`. */
export type Wanted =
  | { readonly kind: "auto" }
  /** `local/NAME`, `BACKEND/NAME`, a bare local name or an alias, resolved to a backend. */
  | {
      readonly kind: "named";
      readonly backend: string;
      /** As the backend's own list has it. */
      readonly model: string;
      /** All names that lead to it, with the one that was sent: rules may list any of them. */
      readonly names: readonly string[];
    }
  | { readonly kind: "unknown" };

/** Whose request it is, as far as routing cares. */
export interface Caller {
  /** Keeps conversations of different callers apart; no secret. */
  readonly id: string;
  readonly name: string;
  /** Name of the policy's rules for its key; without one, rules of the key's own name hold, if there are any. */
  readonly policy: string | undefined;
  readonly classFloor: DataClass;
  /** Names that it may send as `model`; empty: all. */
  readonly models: readonly string[];
}

export interface Question {
  readonly caller: Caller;
  /** The headers `x-weir-class` and `x-weir-source`. */
  readonly label: string | undefined;
  readonly source: string | undefined;
  /** The agent that the request says to be of: the header `x-weir-agent`. */
  readonly agent: string | undefined;
  /** As it was received: before a schema dropped what it does not know. */
  readonly body: unknown;
  /** Of the body. */
  readonly bytes: number;
  /** What a backend would be asked; throws where the body is none. Asked for only where text would go out pseudonymised. */
  readonly draft: () => readonly GenerationRequest[];
}

/** A backend and the model that it is asked for, by the name that the backend's own list has. */
export interface Target {
  readonly backend: string;
  readonly model: string;
}

/** What would be decided. */
export interface Verdict {
  readonly route: Route;
  /** The class of content and labels; the route's may be higher. */
  readonly content: DataClass;
  readonly pinned: DataClass | undefined;
  readonly wanted: Wanted;
  /** In the order in which they are asked, all of the route's zone; empty where it is refused. */
  readonly targets: readonly Target[];
  /** What becomes of it where the cloud's door finds a doubt that nobody had before: served in the house, or refused. */
  readonly atDoor: { readonly route: Route; readonly targets: readonly Target[] };
  /** Every vote, the highest first; no text of the request. */
  readonly evidence: readonly Evidence[];
  /** 0..1: how sure it is that the class is not lower or, for public, not higher. */
  readonly confidence: number;
  /** Hash of the policy. */
  readonly policy: string;
  /** Names of the policy's rules for its key and its agent; null where there was none. */
  readonly key: string | null;
  readonly agent: string | null;
  /** Its conversation and the answers to it are private, and nothing else says so of them: that is to be remembered. */
  readonly sticky: boolean;
}

/** A verdict that is on record. */
export interface Decision extends Verdict {
  /** Clients get it as `x-weir-receipt`. */
  readonly receipt: string;
  readonly caller: Caller;
}

/** The answer of `POST /v1/route/explain`. No text of the request stands in it. */
export interface Explanation {
  readonly class: DataClass;
  readonly zone: Zone;
  readonly action: "serve" | "refuse";
  readonly backend: string | null;
  readonly evidence: readonly Evidence[];
  /** Hash of the policy. */
  readonly policy: string;
  readonly confidence: number;
}
