/** Reads receipts back and says what is wrong with them, without the server. Works on lines, so that any size can be read. */
import type { KeyObject } from "node:crypto";
import { FIRST_PREV, faultOf, type Receipt, receiptId } from "./record.ts";

export interface ReceiptProblem {
  /** 1-based, over all files in the order given. */
  readonly line: number;
  readonly seq: number | undefined;
  readonly problem: string;
}

export interface Verified {
  readonly records: number;
  readonly firstSeq: number | undefined;
  readonly lastSeq: number | undefined;
  /** True where the chain starts at the very first record; else what came before was not among the files. */
  readonly fromStart: boolean;
  readonly problems: readonly ReceiptProblem[];
}

/** What is known of the chain's end from elsewhere: without it, records cut off at the end cannot be missed. */
export interface KnownEnd {
  readonly seq: number;
  readonly hash: string;
}

/** A line of a receipt is a few hundred bytes; what is far longer is none. */
const LINE_MAX = 65_536;
/** After so many problems the rest is not listed. */
const PROBLEMS_MAX = 100;

export class ReceiptVerifier {
  readonly #publicKey: KeyObject;
  readonly #problems: ReceiptProblem[] = [];
  readonly #wanted: Set<string>;
  #line = 0;
  #records = 0;
  #first: number | undefined;
  #fromStart = false;
  #last: Pick<Receipt, "seq" | "hash"> | undefined;

  /** `wanted`: ids that clients hold (`x-weir-receipt`) and that must be among the records. */
  constructor(publicKey: KeyObject, wanted: readonly string[] = []) {
    this.#publicKey = publicKey;
    this.#wanted = new Set(wanted);
  }

  /** One line of a file, without its line end. */
  add(line: string): void {
    this.#line += 1;
    const record = parsed(line);
    if (record === undefined)
      return this.#report(undefined, "it is not a receipt: the line was cut off or overwritten");
    const fault = faultOf(record, this.#publicKey);
    if (fault !== undefined) this.#report(record.seq, fault);
    const chained = this.#chainFault(record);
    if (chained !== undefined) this.#report(record.seq, chained);
    this.#records += 1;
    this.#first ??= record.seq;
    this.#last = record;
    this.#wanted.delete(receiptId(record));
  }

  finish(end?: KnownEnd): Verified {
    if (end !== undefined && (this.#last?.seq !== end.seq || this.#last.hash !== end.hash)) {
      const last = this.#last === undefined ? "there is none" : `the last one is ${this.#last.seq}`;
      this.#report(
        end.seq,
        `the chain should end with record ${end.seq}, but ${last}: records were cut off or replaced`,
      );
    }
    for (const id of this.#wanted) this.#report(undefined, `the receipt ${id} is not among the records`);
    return {
      records: this.#records,
      firstSeq: this.#first,
      lastSeq: this.#last?.seq,
      fromStart: this.#fromStart,
      problems: this.#problems,
    };
  }

  #chainFault({ seq, prev }: Receipt): string | undefined {
    if (this.#last === undefined) {
      this.#fromStart = seq === 1;
      if (seq === 1 && prev !== FIRST_PREV) return "it claims to be the first, but names a record before it";
      return undefined;
    }
    const expected = this.#last.seq + 1;
    if (seq > expected) return `records ${expected} to ${seq - 1} are missing before it`;
    if (seq < expected)
      return `it stands behind record ${this.#last.seq}: records were reordered or repeated`;
    if (prev !== this.#last.hash)
      return "it does not follow from the record before it: one of the two was replaced";
    return undefined;
  }

  #report(seq: number | undefined, problem: string): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push({ line: this.#line, seq, problem });
  }
}

/** Undefined where the line is no record. Only the shape is checked here: the hash covers the rest. */
function parsed(line: string): Receipt | undefined {
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
