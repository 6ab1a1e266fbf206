/** What is put on record of a decision. Ids, hashes and lengths only: never text, names or addresses out of a request. */
import type { DataClass } from "./data-class.ts";
import type { Zone } from "./policy.ts";

export interface DecisionRecord {
  /** The id that the client got in `x-request-id`. */
  readonly request: string;
  readonly class: DataClass;
  /** Of what it holds and declares, before its key, its agent and its conversation's past raised it. */
  readonly content: DataClass;
  /** What its conversation was before; null where it was nothing above public. */
  readonly pinned: DataClass | null;
  /** Names of the policy's rules for its key and its agent; null where there was none. */
  readonly key: string | null;
  readonly agent: string | null;
  /** What was asked for, in names of the configuration; one that leads nowhere is not repeated. */
  readonly wanted: "auto" | "unknown" | { readonly model: string; readonly backend: string };
  readonly zone: Zone;
  readonly action: "serve" | "refuse";
  /** Name of the backend in the configuration; null where none was chosen. */
  readonly backend: string | null;
  /** Ids of the rules that voted, without repetition. */
  readonly rules: readonly string[];
  /** Hash of the policy that decided, hex. */
  readonly policy: string;
  /** Digest of the topic model that took part; null where none did. */
  readonly topicModel: string | null;
  /** Bytes of the request's body. */
  readonly bytes: number;
}
