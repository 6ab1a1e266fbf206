/**
 * What a line's hash is made of. The content is JSON with a fixed order of fields, in texts and not in the numbers that a
 * store has for them, so that every store computes the same and a changed dictionary shows. A line's hash covers the hash
 * before it, its place, and the digest of its content.
 */
import { hash } from "node:crypto";
import type { LedgerEntry } from "../../core/ledger.ts";

/** Before the first line. */
export const FIRST_HASH = new Uint8Array(32);

/** Times are kept in whole microseconds: a fraction of one is no knowledge. */
export const wholeUs = (ms: number): number => Math.round(ms * 1000);

/** The line that is corrected, and the number of the one that does: it may be corrected twice by the same amount. */
export interface Correction {
  readonly corrects: number;
  readonly seq: number;
}

/** SHA-256 of all that an entry says. */
export function digestOf(entry: LedgerEntry, correction: Correction | undefined): Buffer {
  const { energy, cost } = entry;
  const content = [
    [entry.request, entry.choice, entry.attempt, entry.line, entry.at],
    [entry.backend, entry.zone, entry.model, entry.class],
    [entry.team ?? null, entry.key ?? null, entry.agent ?? null, entry.person ?? null],
    [entry.outcome, entry.promptTokens, entry.cachedTokens, entry.completionTokens, entry.estimated],
    [energy.uj, energy.lowUj, energy.highUj, energy.tier],
    [cost.price, cost.energy, cost.hardware, entry.priced],
    [wholeUs(entry.queueMs), wholeUs(entry.prefillMs), wholeUs(entry.decodeMs)],
    correction === undefined ? null : [correction.corrects, correction.seq],
  ];
  return hash("sha256", JSON.stringify(content), "buffer");
}

export interface LinePlace {
  readonly seq: number;
  readonly counted: boolean;
}

/** The hash of the line with this digest, after the line with the hash `before`. */
export function chained(before: Uint8Array, digest: Uint8Array, { seq, counted }: LinePlace): Buffer {
  const bytes = Buffer.alloc(73);
  bytes.set(before, 0);
  bytes.set(digest, 32);
  bytes.writeBigUInt64BE(BigInt(seq), 64);
  bytes[72] = counted ? 1 : 0;
  return hash("sha256", bytes, "buffer");
}

const OWN_ID = /^req-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** weir's own ids are UUIDs: 16 bytes. A client's id is kept as it is. */
export const packedId = (request: string): string | Uint8Array =>
  OWN_ID.test(request) ? Buffer.from(request.slice(4).replaceAll("-", ""), "hex") : request;

export function unpackedId(packed: string | Uint8Array): string {
  if (typeof packed === "string") return packed;
  const hex = Buffer.from(packed).toString("hex");
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)];
  return `req-${parts.join("-")}`;
}
