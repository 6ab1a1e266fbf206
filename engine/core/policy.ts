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

export interface KeyRule {
  /** Every request of the key is at least of this class. */
  readonly classFloor: DataClass;
  /** `onprem`: the key's requests never leave the house, whatever they hold. */
  readonly zone: Zone | undefined;
  /** Models and aliases that the key may name; empty: all. */
  readonly models: readonly string[];
}

export interface Policy {
  /** SHA-256 of the policy's canonical form, hex: which version decided. */
  readonly hash: string;
  readonly classes: Readonly<Record<DataClass, ClassRule>>;
  /** By name of the key's policy; a key whose policy is not among them is held to the strictest. */
  readonly keys: ReadonlyMap<string, KeyRule>;
  /** A client names a cloud model for data that may not go there: 403, or the router's own choice. */
  readonly explicitCloud: "refuse" | "reroute";
}

/** For keys that no rule names where the policy has rules for keys. */
export const STRICTEST_KEY: KeyRule = { classFloor: "restricted", zone: "onprem", models: [] };

/** Classes that no policy may send to a cloud: a policy file that says so is refused when it is read. */
export const NEVER_CLOUD: readonly DataClass[] = ["personal", "restricted"];
