/**
 * One receipt: what was decided about one request, without a word of the request. Each holds the hash of the one before it
 * and is signed, so that a file of them shows whatever was removed, reordered or altered.
 *
 *     hash = SHA-256( canonical JSON of the record without hash and sig )
 *     sig  = Ed25519 over the 32 bytes of hash
 *
 * Canonical JSON: keys in the order of their UTF-16 code units, no white space, numbers as JavaScript writes them (RFC 8785
 * for the values that a record may hold).
 */
import { createHash, type KeyObject, sign, verify } from "node:crypto";
import type { DecisionRecord } from "../core/decision-record.ts";

interface Place {
  readonly v: 1;
  /** From 1 on, without gaps, across files. */
  readonly seq: number;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** `hash` of the record before; 64 zeros for the very first. */
  readonly prev: string;
}

/** `rotated` ends a file: the next record, in the next file, goes on from it. */
export type ReceiptBody = Place &
  ({ readonly kind: "decision"; readonly decision: DecisionRecord } | { readonly kind: "rotated" });
export type Receipt = ReceiptBody & { readonly hash: string; readonly sig: string };

export const FIRST_PREV = "0".repeat(64);

export function sealed(body: ReceiptBody, privateKey: KeyObject): Receipt {
  const hash = hashOf(body);
  return { ...body, hash: hash.toString("hex"), sig: sign(null, hash, privateKey).toString("base64") };
}

/** What is wrong with a record by itself; undefined if nothing is. Its place in the chain is checked elsewhere. */
export function faultOf(record: Receipt, publicKey: KeyObject): string | undefined {
  const { hash, sig, ...body } = record;
  const expected = hashOf(body as ReceiptBody);
  if (expected.toString("hex") !== hash)
    return "its content was altered: it does not have the hash that it states";
  const signature = Buffer.from(sig, "base64");
  // Several texts decode to the same bytes; only one of them was written.
  const asWritten = signature.length === 64 && signature.toString("base64") === sig;
  if (!asWritten || !verify(null, expected, publicKey, signature)) return "its signature is not by this key";
  return undefined;
}

/** What clients get in `x-weir-receipt`: enough to find the record, and to see that it is still the same one. */
export const receiptId = ({ seq, hash }: Pick<Receipt, "seq" | "hash">): string =>
  `${seq}-${hash.slice(0, 16)}`;

function hashOf(body: ReceiptBody): Buffer {
  return createHash("sha256").update(canonicalJson(body)).digest();
}

export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, field]) => `${JSON.stringify(key)}:${canonicalJson(field)}`);
    return `{${fields.join(",")}}`;
  }
  return JSON.stringify(value);
}
