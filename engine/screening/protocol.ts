/** What the main thread and the screening thread exchange, and what an answer must look like to be believed. */
import { DATA_CLASSES, type DataClass, maxClass } from "../core/data-class.ts";
import type { Evidence } from "../core/evidence.ts";
import type { Classification } from "../routing/classify.ts";
import { isTextless } from "../routing/pointer.ts";

export type ScreeningTask =
  /** A chat or completion body, and the votes of those who know more than it says. */
  | { readonly kind: "body"; readonly body: unknown; readonly declared: readonly Evidence[] }
  /** Bytes that are about to leave: JSON in UTF-8. */
  | { readonly kind: "bytes"; readonly bytes: Uint8Array };

/** The thread's `workerData`. */
export interface ThreadData {
  /** Bytes of the model's file. */
  readonly topicModel: Uint8Array;
}

/** The classifier's own bound; more says that something else answered. */
const EVIDENCE_MAX = 64;
const RULE = /^[a-z][a-z0-9._-]{0,63}$/;

/**
 * The answer as a classification of its own; undefined where it is none, where it is lower than what was declared, or
 * where its class and its evidence do not agree. No text can come along: a rule's id has room for none, and a pointer
 * consists of the interface's own names and of places in lists.
 */
export function checkedAnswer(answer: unknown, declared: readonly Evidence[]): Classification | undefined {
  if (!isRecord(answer)) return undefined;
  const { class: value, evidence, confidence } = answer;
  if (!isClass(value) || typeof confidence !== "number" || !(confidence >= 0 && confidence <= 1)) {
    return undefined;
  }
  if (!Array.isArray(evidence) || evidence.length > EVIDENCE_MAX) return undefined;
  const votes: Evidence[] = [];
  const declaredRules = new Set(declared.map(({ rule }) => rule));
  for (const vote of evidence as readonly unknown[]) {
    if (!isRecord(vote)) return undefined;
    const { rule, class: voted, where } = vote;
    if (typeof rule !== "string" || typeof where !== "string" || !isClass(voted)) return undefined;
    if (!RULE.test(rule) && !declaredRules.has(rule)) return undefined;
    if (!isTextless(where)) return undefined;
    votes.push({ rule, class: voted, where });
  }
  if (highest(votes) !== value || maxClass(value, highest(declared)) !== value) return undefined;
  return { class: value, evidence: votes, confidence };
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

const isClass = (value: unknown): value is DataClass => (DATA_CLASSES as readonly unknown[]).includes(value);

const highest = (votes: readonly Evidence[]): DataClass =>
  votes.reduce<DataClass>((value, vote) => maxClass(value, vote.class), "public");
