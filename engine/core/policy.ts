/** What a policy says, as the router reads it. server/config reads it from policy.yaml and checks it there. */
import type { DataClass } from "./data-class.ts";

export type Zone = "onprem" | "cloud";

export interface ClassRule {
  /** Where the class runs when the client leaves the choice to the router. `onprem` also forbids the cloud. */
  readonly zone: Zone;
  /** Only `internal`: names and numbers are replaced before a cloud sees the text. */
  readonly pseudonymise: boolean;
  /** Backends that may serve the class, best first; empty: all of the zone. */
  readonly backends: readonly string[];
}

/** What holds for a key, or for an agent. */
export interface KeyRule {
  /** Every request of it is at least of this class. */
  readonly classFloor: DataClass;
  /** `onprem`: its requests never leave the house, whatever they hold. */
  readonly zone: Zone | undefined;
  /** Models and aliases that the key or agent may name; empty: all. */
  readonly models: readonly string[];
}

export interface Policy {
  /** SHA-256 of the policy's canonical form, hex: which version decided. */
  readonly hash: string;
  readonly classes: Readonly<Record<DataClass, ClassRule>>;
  /** By name of the key's policy; a key whose policy is not among them is held to the strictest. */
  readonly keys: ReadonlyMap<string, KeyRule>;
  /** By name of the agent that a request says to be of; one that is not among them is held to the strictest. */
  readonly agents: ReadonlyMap<string, KeyRule>;
  /** By name of a tool that a request offers or calls: its data are at least of this class. */
  readonly tools: ReadonlyMap<string, DataClass>;
  /** By name of the source (`metadata.source`) that a request's data came from; an unknown one is restricted. */
  readonly connectors: ReadonlyMap<string, DataClass>;
  /** A client names a cloud model for data that may not go there: 403, or the router's own choice. */
  readonly explicitCloud: "refuse" | "reroute";
}

/** For keys and agents that no rule names. */
export const STRICTEST_KEY: KeyRule = { classFloor: "restricted", zone: "onprem", models: [] };

/** Classes that no policy may send to a cloud: a policy file that says so is refused when it is read. */
export const NEVER_CLOUD: readonly DataClass[] = ["personal", "restricted"];
