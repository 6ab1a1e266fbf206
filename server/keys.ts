/**
 * API keys: a file holds one scrypt hash a line, never a key. A key that was seen before is found by its digest in a small
 * table; an unseen one costs a derivation per salt, and only so many of those wait at a time.
 *
 *   scrypt$16384$8$1$SALT$HASH name        (SALT and HASH in base64url; `#` begins a comment)
 */
import { createHash, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { WeirError } from "../engine/core/errors.ts";
import type { KeyVerifier, Principal } from "./ports.ts";

const KEYS_MAX = 10_000;
const HASH_BYTES = 32;
const SALT_BYTES = 16;
const COST = { N: 16_384, r: 8, p: 1 } as const;
/** Memory of one derivation is 128 * N * r bytes; a line that asks for more is refused. */
const MEMORY_MAX = 64 * 2 ** 20;
const SEEN_MAX = 1000;
/** Unseen keys that may wait for their check; more are refused with `overloaded`. */
const PENDING_MAX = 32;

export interface KeyEntry {
  readonly name: string;
  readonly cost: { readonly N: number; readonly r: number; readonly p: number };
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/** A line for the keys file. Lines that share a salt are checked with one derivation. */
export async function hashKey(
  key: string,
  name = "",
  salt: Buffer = randomBytes(SALT_BYTES),
): Promise<string> {
  const hash = await derive(key, salt, COST);
  const { N, r, p } = COST;
  return `scrypt$${N}$${r}$${p}$${salt.toString("base64url")}$${hash.toString("base64url")} ${name}`.trim();
}

/** A new key: 192 random bits. */
export const newKey = (): string => `weir-${randomBytes(24).toString("base64url")}`;

/** Throws an Error that names the line; it never quotes one, since someone may have put a plain key there. */
export function parseKeysFile(text: string): readonly KeyEntry[] {
  const entries: KeyEntry[] = [];
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    if (entries.length === KEYS_MAX) throw keysError(index, `there are more than ${KEYS_MAX} keys`);
    entries.push(parseLine(trimmed, index));
  }
  return entries;
}

function parseLine(line: string, index: number): KeyEntry {
  const [hash = "", ...words] = line.split(/\s+/);
  const fields = hash.split("$");
  if (fields.length !== 6 || fields[0] !== "scrypt") {
    throw keysError(index, "expected scrypt$N$r$p$SALT$HASH and a name; make one with `weir keys hash`");
  }
  const [N = 0, r = 0, p = 0] = fields
    .slice(1, 4)
    .map((field) => (/^\d{1,9}$/.test(field) ? Number(field) : 0));
  if (N < 1024 || !Number.isInteger(Math.log2(N)))
    throw keysError(index, "N must be a power of two from 1024");
  if (r < 1 || p < 1 || p > 16 || 128 * N * r > MEMORY_MAX) {
    throw keysError(
      index,
      `r and p must be from 1, p at most 16, and 128 * N * r at most ${MEMORY_MAX} bytes`,
    );
  }
  const [salt = "", digest = ""] = fields.slice(4);
  const entry = {
    name:
      words
        .join(" ")
        .replace(/[^\x20-\x7e]/g, "?")
        .slice(0, 100) || `key-${index + 1}`,
    cost: { N, r, p },
    salt: Buffer.from(salt, "base64url"),
    hash: Buffer.from(digest, "base64url"),
  };
  if (!/^[\w-]+$/.test(salt) || entry.salt.length < 8)
    throw keysError(index, "the salt must be base64url of 8 bytes or more");
  if (!/^[\w-]+$/.test(digest) || entry.hash.length !== HASH_BYTES) {
    throw keysError(index, `the hash must be base64url of ${HASH_BYTES} bytes`);
  }
  return entry;
}

const keysError = (index: number, why: string): Error => new Error(`keys file, line ${index + 1}: ${why}`);

export function createKeyVerifier(entries: readonly KeyEntry[]): KeyVerifier {
  const bySalt = [...Map.groupBy(entries, saltOf).values()];
  // Two tables, so that a flood of wrong keys cannot push out the right ones.
  const known = new Map<string, Principal>();
  const unknown = new Map<string, undefined>();
  const pending = new Map<string, Promise<Principal | undefined>>();
  let turn: Promise<unknown> = Promise.resolve();

  const check = async (key: string, digest: string): Promise<Principal | undefined> => {
    const principal = await search(key, bySalt);
    if (principal === undefined) remember(unknown, digest, undefined);
    else remember(known, digest, principal);
    return principal;
  };
  return {
    async verify(key) {
      const digest = createHash("sha256").update(key).digest("base64");
      const seen = known.get(digest);
      if (seen !== undefined || unknown.has(digest)) return seen;
      const running = pending.get(digest);
      if (running !== undefined) return running;
      if (pending.size >= PENDING_MAX) {
        throw new WeirError(
          "overloaded",
          "Too many unknown API keys are being checked; try again in a moment.",
          {
            retryAfterMs: 1000,
          },
        );
      }
      const mine = turn.then(() => check(key, digest)).finally(() => pending.delete(digest));
      pending.set(digest, mine);
      turn = mine.catch(() => undefined);
      return mine;
    },
  };
}

/** Every entry is compared, whether or not one fits already, so that the time says nothing about which one did. */
async function search(key: string, bySalt: readonly (readonly KeyEntry[])[]): Promise<Principal | undefined> {
  let found: Principal | undefined;
  for (const entries of bySalt) {
    const first = entries[0];
    if (first === undefined) continue;
    const hash = await derive(key, first.salt, first.cost);
    for (const entry of entries) {
      const equal = timingSafeEqual(hash, entry.hash);
      found = equal && found === undefined ? { name: entry.name } : found;
    }
  }
  return found;
}

const saltOf = ({ salt, cost }: KeyEntry): string =>
  `${cost.N}.${cost.r}.${cost.p}.${salt.toString("base64url")}`;

function derive(key: string, salt: Buffer, cost: KeyEntry["cost"]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(key, salt, HASH_BYTES, { ...cost, maxmem: 2 * MEMORY_MAX }, (error, hash) =>
      error === null ? resolve(hash) : reject(error),
    );
  });
}

function remember<Value>(table: Map<string, Value>, digest: string, value: Value): void {
  const oldest = table.size >= SEEN_MAX ? table.keys().next().value : undefined;
  if (oldest !== undefined) table.delete(oldest);
  table.set(digest, value);
}
