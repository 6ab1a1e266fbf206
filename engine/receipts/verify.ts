/** Reads receipts back and says what is wrong with them, without the server. Works on lines, so that any size can be read. */
import type { KeyObject } from "node:crypto";
import { FIRST_PREV, faultOf, type Receipt, receiptId } from "./record.ts";

export interface ReceiptProblem {
  /** 1-based, over all files in the order given; undefined for what is missing at the end. */
  readonly line: number | undefined;
  readonly seq: number | undefined;
  readonly problem: string;
}

export interface Verified {
  readonly records: number;
  /** The first and the last record; undefined where there is none. */
  readonly first: RecordPlace | undefined;
  readonly last: RecordPlace | undefined;
  /**
   * True where the chain starts at the very first record, or goes on from `after`; else what came before was not among
   * the files.
   */
  readonly fromStart: boolean;
  readonly problems: readonly ReceiptProblem[];
  /** Also those that are not listed. */
  readonly problemCount: number;
}

export interface RecordPlace {
  readonly seq: number;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** True where it is the record that closes a file. */
  readonly closesFile: boolean;
}

export type ChainPoint = Pick<Receipt, "seq" | "hash">;

export interface KnownFromElsewhere {
  /** Ids that clients hold (`x-weir-receipt`) and that must be among the records. */
  readonly ids?: readonly string[];
  /** The record before the first one here, where another file has it. */
  readonly after?: ChainPoint;
  /**
   * The end of the chain, or of a file that is closed: without it, records cut off at the end cannot be missed. Later
   * records may follow, since the chain goes on while it is read. Record 0 is the end of a chain that has none yet.
   */
  readonly end?: {
    readonly seq: number /** Undefined where only the number is known. */;
    readonly hash?: string;
  };
}

/** A line of a receipt is a few hundred bytes; what is far longer is none. */
export const LINE_MAX = 65_536;
/** After so many problems the rest is not listed. */
const PROBLEMS_MAX = 100;

export class ReceiptVerifier {
  readonly #publicKey: KeyObject;
  readonly #problems: ReceiptProblem[] = [];
  readonly #wanted: Set<string>;
  readonly #end: KnownFromElsewhere["end"];
  readonly #after: ChainPoint | undefined;
  #endSeen: boolean;
  #line = 0;
  #records = 0;
  #problemCount = 0;
  #first: RecordPlace | undefined;
  #last: RecordPlace | undefined;
  #fromStart = false;
  #before: ChainPoint | undefined;

  constructor(publicKey: KeyObject, { ids = [], after, end }: KnownFromElsewhere = {}) {
    this.#publicKey = publicKey;
    this.#wanted = new Set(ids);
    this.#before = after;
    this.#after = after;
    this.#end = end;
    this.#endSeen = end === undefined || end.seq === 0 || (after !== undefined && after.seq >= end.seq);
  }

  /** One line of a file, without its line end. Returns the record, where nothing is wrong with it by itself. */
  add(line: string): Receipt | undefined {
    this.#line += 1;
    const record = parsedReceipt(line);
    if (record === undefined) {
      this.#report(undefined, "it is not a receipt: the line was cut off or overwritten");
      return undefined;
    }
    const fault = faultOf(record, this.#publicKey) ?? spellingFault(record, line);
    if (fault !== undefined) this.#report(record.seq, fault);
    const chained = this.#chainFault(record);
    if (chained !== undefined) this.#report(record.seq, chained);
    this.#records += 1;
    this.#last = { seq: record.seq, at: String(record.at), closesFile: record.kind === "rotated" };
    this.#first ??= this.#last;
    this.#before = record;
    this.#wanted.delete(receiptId(record));
    if (record.seq === this.#end?.seq) this.#meetEnd(record, this.#end.hash);
    return fault === undefined ? record : undefined;
  }

  finish(): Verified {
    if (!this.#endSeen) {
      const last = this.#last === undefined ? "there is none" : `the last one is ${this.#last.seq}`;
      const expected = this.#end?.seq;
      this.#reportAtEnd(
        expected,
        `the chain should go on to record ${expected}, but ${last}: records were cut off or replaced`,
      );
    }
    for (const id of this.#wanted) this.#reportAtEnd(undefined, `the receipt ${id} is not among the records`);
    return {
      records: this.#records,
      first: this.#first,
      last: this.#last,
      fromStart: this.#fromStart,
      problems: this.#problems,
      problemCount: this.#problemCount,
    };
  }

  #meetEnd({ seq, hash }: Receipt, expected: string | undefined): void {
    this.#endSeen = true;
    if (expected !== undefined && hash !== expected)
      this.#report(seq, "it is not the record that the chain was known to have here: it was replaced");
  }

  #chainFault({ seq, prev }: Receipt): string | undefined {
    const before = this.#before;
    if (before === undefined) {
      this.#fromStart = seq === 1;
      if (seq === 1 && prev !== FIRST_PREV) return "it claims to be the first, but names a record before it";
      return undefined;
    }
    if (before === this.#after) this.#fromStart = true;
    const expected = before.seq + 1;
    if (seq > expected) return `records ${expected} to ${seq - 1} are missing before it`;
    if (seq < expected) return `it stands behind record ${before.seq}: records were reordered or repeated`;
    if (prev !== before.hash)
      return "it does not follow from the record before it: one of the two was replaced";
    return undefined;
  }

  #report(seq: number | undefined, problem: string): void {
    this.#keep({ line: this.#line, seq, problem });
  }

  #reportAtEnd(seq: number | undefined, problem: string): void {
    this.#keep({ line: undefined, seq, problem });
  }

  #keep(problem: ReceiptProblem): void {
    this.#problemCount += 1;
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push(problem);
  }
}

/** A hash covers what a line means. What it looks like must not say something else: a field twice, white space, escapes. */
function spellingFault(record: Receipt, line: string): string | undefined {
  return JSON.stringify(record).length === line.length
    ? undefined
    : "it is not written as weir writes receipts: fields were repeated, or characters put in";
}

/** A record by its shape; undefined where the line is none. The hash covers the rest. */
export function parsedReceipt(line: string): Receipt | undefined {
  if (line.length > LINE_MAX) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { seq, prev, hash, sig } = value as Record<string, unknown>;
  const texts = [prev, hash, sig].every((text) => typeof text === "string");
  return Number.isSafeInteger(seq) && (seq as number) >= 1 && texts ? (value as Receipt) : undefined;
}
