/**
 * API keys: a file holds one scrypt hash a line, never a key. Keys that weir makes are `weir-ID.SECRET`, and their lines
 * carry the id, which is no secret: an unseen key costs one derivation. A key that somebody brought has no id; it costs a
 * derivation per salt of the lines without one. A key that was seen before is found by its digest in a table.
 *
 *   scrypt$16384$8$1$SALT$HASH$ID name     (SALT and HASH in base64url; `$ID` is optional; `#` begins a comment)
 */
import { createHash, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { WeirError } from "../engine/core/errors.ts";
import { type KeyVerifier, type Principal, unlimited } from "./ports.ts";

const KEYS_MAX = 10_000;
const HASH_BYTES = 32;
const SALT_BYTES = 16;
const COST = { N: 16_384, r: 8, p: 1 } as const;
/** Memory of one derivation is 128 * N * r bytes; a line that asks for more is refused. */
const MEMORY_MAX = 64 * 2 ** 20;
const SEEN_MAX = 1000;
/** Unseen keys without a known id that may wait for their check; more are refused with `overloaded`. */
const PENDING_MAX = 32;
/** Unseen keys that may wait for one known id: a flood of one id, or of none, is nobody else's trouble. */
const PENDING_OF_ID_MAX = 4;
const ID_BYTES = 9;
const ID = /^[\w-]{12}$/;
/** Only what newKey() makes: a user's own key may look like almost anything and is whole a secret. */
const KEY_WITH_ID = /^weir-([\w-]{12})\.[\w-]{32}$/;

export interface KeyEntry {
  readonly name: string;
  /** The part of the key that is no secret; undefined where the key has none or its line is from before there were ids. */
  readonly id: string | undefined;
  readonly cost: { readonly N: number; readonly r: number; readonly p: number };
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/** A line for the keys file. Lines without an id that share a salt are checked with one derivation. */
export async function hashKey(
  key: string,
  name = "",
  salt: Buffer = randomBytes(SALT_BYTES),
): Promise<string> {
  const hash = await derive(key, salt, COST);
  const { N, r, p } = COST;
  const id = idOf(key);
  const fields = ["scrypt", N, r, p, salt.toString("base64url"), hash.toString("base64url")];
  return `${[...fields, ...(id === undefined ? [] : [id])].join("$")} ${name}`.trim();
}

/** A new key: an id, and 192 random bits. */
export const newKey = (): string =>
  `weir-${randomBytes(ID_BYTES).toString("base64url")}.${randomBytes(24).toString("base64url")}`;

const idOf = (key: string): string | undefined => KEY_WITH_ID.exec(key)?.[1];

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
  if ((fields.length !== 6 && fields.length !== 7) || fields[0] !== "scrypt") {
    throw keysError(
      index,
      "expected scrypt$N$r$p$SALT$HASH, perhaps $ID, and a name; make one with `weir keys hash`",
    );
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
  const [salt = "", digest = "", id] = fields.slice(4);
  const entry = {
    name:
      words
        .join(" ")
        .replace(/[^\x20-\x7e]/g, "?")
        .slice(0, 100) || `key-${index + 1}`,
    id,
    cost: { N, r, p },
    salt: Buffer.from(salt, "base64url"),
    hash: Buffer.from(digest, "base64url"),
  };
  if (!/^[\w-]+$/.test(salt) || entry.salt.length < 8)
    throw keysError(index, "the salt must be base64url of 8 bytes or more");
  if (!/^[\w-]+$/.test(digest) || entry.hash.length !== HASH_BYTES) {
    throw keysError(index, `the hash must be base64url of ${HASH_BYTES} bytes`);
  }
  if (id !== undefined && !ID.test(id)) throw keysError(index, "the id must be 12 characters of base64url");
  return entry;
}

const keysError = (index: number, why: string): Error => new Error(`keys file, line ${index + 1}: ${why}`);

/** Lines that one key may be on, by salt, and the keys that wait to be compared with them. */
interface Candidates {
  readonly bySalt: readonly (readonly KeyEntry[])[];
  readonly pendingMax: number;
  /** By the key's digest. */
  readonly pending: Map<string, Promise<Principal | undefined>>;
  readonly queue: Queue;
}

/** One derivation at a time: each takes a thread of the pool that files are read with, and memory. */
class Queue {
  #last: Promise<unknown> = Promise.resolve();

  add<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}

export function createKeyVerifier(entries: readonly KeyEntry[]): KeyVerifier {
  const candidatesOf = sortCandidates(entries);
  // Two tables, so that a flood of wrong keys cannot push out the right ones.
  const known = new Map<string, Principal>();
  const unknown = new Map<string, undefined>();

  const check = async (key: string, digest: string, of: Candidates): Promise<Principal | undefined> => {
    const principal = await search(key, of.bySalt);
    if (principal === undefined) remember(unknown, digest, undefined, SEEN_MAX);
    else remember(known, digest, principal, KEYS_MAX);
    return principal;
  };
  return {
    async verify(key) {
      const digest = createHash("sha256").update(key).digest("base64");
      const seen = known.get(digest);
      if (seen !== undefined || unknown.has(digest)) return seen;
      const candidates = candidatesOf(key);
      const { pending, pendingMax, queue } = candidates;
      const running = pending.get(digest);
      if (running !== undefined) return running;
      if (pending.size >= pendingMax) {
        throw new WeirError(
          "overloaded",
          "Too many unknown API keys are being checked; try again in a moment.",
          { retryAfterMs: 1000 },
        );
      }
      const mine = queue.add(() => check(key, digest, candidates)).finally(() => pending.delete(digest));
      pending.set(digest, mine);
      return mine;
    },
  };
}

/**
 * Each known id has its own; all other keys share one. A key with an id that no line has is compared with a line that no
 * key is on: it takes as long as a wrong secret of a known id, so that the time does not tell which ids there are.
 */
function sortCandidates(entries: readonly KeyEntry[]): (key: string) => Candidates {
  const [named, others] = [new Queue(), new Queue()];
  const groups = (of: readonly KeyEntry[]) => [...Map.groupBy(of, saltOf).values()];
  const byId = new Map<string, Candidates>();
  for (const [id, lines] of Map.groupBy(entries, (entry) => entry.id)) {
    if (id === undefined) continue;
    byId.set(id, {
      bySalt: groups(lines),
      pendingMax: PENDING_OF_ID_MAX,
      pending: new Map(),
      queue: named,
    });
  }
  const shared = { pendingMax: PENDING_MAX, pending: new Map(), queue: others };
  const withoutId: Candidates = { ...shared, bySalt: groups(entries.filter(({ id }) => id === undefined)) };
  const nobody: Candidates = { ...shared, bySalt: [[nobodysLine(entries)]] };
  return (key) => {
    const id = idOf(key);
    return id === undefined ? withoutId : (byId.get(id) ?? nobody);
  };
}

/** As costly as the lines with ids are; its hash is random, and no key is known that has it. */
function nobodysLine(entries: readonly KeyEntry[]): KeyEntry {
  const like = entries.find(({ id }) => id !== undefined);
  return {
    name: "nobody",
    id: undefined,
    cost: like?.cost ?? COST,
    salt: randomBytes(SALT_BYTES),
    hash: randomBytes(HASH_BYTES),
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
      found = equal && found === undefined ? unlimited(entry.name, entry.id) : found;
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

function remember<Value>(table: Map<string, Value>, digest: string, value: Value, max: number): void {
  const oldest = table.size >= max ? table.keys().next().value : undefined;
  if (oldest !== undefined) table.delete(oldest);
  table.set(digest, value);
}
