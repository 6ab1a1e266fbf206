/**
 * Whose key is this? A key that was seen before is found by its digest in a table; an unseen one costs a derivation, one at
 * a time. The keys in force can be exchanged while requests come in.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { WeirError } from "../../engine/core/errors.ts";
import type { KeyVerifier, Principal } from "../ports.ts";
import { derive, idOf, type KeyHash, nobodysHash } from "./hash.ts";

/** Keys that fit are remembered up to so many: at least as many as the store and the keys file can hold. */
const KNOWN_MAX = 20_000;
const UNKNOWN_MAX = 1000;
/** Unseen keys without a known id that may wait for their check; more are refused with `overloaded`. */
const PENDING_MAX = 32;
/** Unseen keys that may wait for one known id: a flood of one id, or of none, is nobody else's trouble. */
const PENDING_OF_ID_MAX = 4;

export interface KeyEntry {
  readonly hash: KeyHash;
  readonly principal: Principal;
}

/** Hashes that one key may fit, by salt, and the keys that wait to be compared with them. */
interface Candidates {
  readonly bySalt: readonly (readonly KeyHash[])[];
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

/** The keys of one moment, and what was found out about wrong ones since. */
interface InForce {
  readonly candidatesOf: (key: string) => Candidates;
  readonly byHash: ReadonlyMap<string, KeyEntry>;
  /** Digests of keys that are none of these. */
  readonly unknown: Set<string>;
}

export class KeyTable implements KeyVerifier {
  /** Shared by all moments, so that an exchange does not start a second derivation beside a running one. */
  readonly #queues = { named: new Queue(), others: new Queue() };
  /**
   * Digest of a key -> the hash that it fits, which stays true for ever; whether that hash is in force, and what its key may
   * do, is looked up each time. Apart from the unknown, so that a flood of wrong keys cannot push out the right ones.
   */
  readonly #known = new Map<string, string>();
  #inForce: InForce;

  constructor(entries: readonly KeyEntry[]) {
    this.#inForce = this.#prepare(entries);
  }

  /** From here on these keys are let in and no others, also where a check is under way. */
  replace(entries: readonly KeyEntry[]): void {
    this.#inForce = this.#prepare(entries);
    for (const [digest, hash] of this.#known) {
      if (!this.#inForce.byHash.has(hash)) this.#known.delete(digest);
    }
  }

  async verify(key: string): Promise<Principal | undefined> {
    const digest = createHash("sha256").update(key).digest("base64");
    const { candidatesOf, unknown } = this.#inForce;
    const seen = this.#principalOf(this.#known.get(digest));
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
    const check = async (): Promise<Principal | undefined> => {
      const hash = await search(key, candidates.bySalt);
      if (hash === undefined) {
        // To the keys that it was compared with; among newer ones it may be.
        makeRoom(unknown, UNKNOWN_MAX);
        unknown.add(digest);
      } else if (this.#inForce.byHash.has(hash)) {
        makeRoom(this.#known, KNOWN_MAX);
        this.#known.set(digest, hash);
      }
      return this.#principalOf(hash);
    };
    const mine = queue.add(check).finally(() => pending.delete(digest));
    pending.set(digest, mine);
    return mine;
  }

  #principalOf(hash: string | undefined): Principal | undefined {
    return hash === undefined ? undefined : this.#inForce.byHash.get(hash)?.principal;
  }

  /**
   * Each known id has its own candidates; all other keys share some. A key with an id that no entry has is compared with a
   * hash that no key fits: it takes as long as a wrong secret of a known id, so that the time does not tell which ids there
   * are.
   */
  #prepare(entries: readonly KeyEntry[]): InForce {
    const { named, others } = this.#queues;
    const byHash = new Map<string, KeyEntry>();
    for (const entry of entries) if (!byHash.has(nameOf(entry.hash))) byHash.set(nameOf(entry.hash), entry);
    const hashes = [...byHash.values()].map(({ hash }) => hash);
    const groups = (of: readonly KeyHash[]) => [...Map.groupBy(of, saltOf).values()];
    const byId = new Map<string, Candidates>();
    for (const [id, same] of Map.groupBy(hashes, (hash) => hash.id)) {
      if (id === undefined) continue;
      const pendingMax = PENDING_OF_ID_MAX;
      byId.set(id, { bySalt: groups(same), pendingMax, pending: new Map(), queue: named });
    }
    const shared = { pendingMax: PENDING_MAX, pending: new Map(), queue: others };
    const withoutId = { ...shared, bySalt: groups(hashes.filter(({ id }) => id === undefined)) };
    const nobody = { ...shared, bySalt: [[nobodysHash(hashes.find(({ id }) => id !== undefined))]] };
    const candidatesOf = (key: string): Candidates => {
      const id = idOf(key);
      return id === undefined ? withoutId : (byId.get(id) ?? nobody);
    };
    return { candidatesOf, byHash, unknown: new Set() };
  }
}

/** Every hash is compared, whether or not one fits already, so that the time says nothing about which one did. */
async function search(key: string, bySalt: readonly (readonly KeyHash[])[]): Promise<string | undefined> {
  let found: string | undefined;
  for (const hashes of bySalt) {
    const first = hashes[0];
    if (first === undefined) continue;
    const derived = await derive(key, first);
    for (const hash of hashes) {
      const equal = timingSafeEqual(derived, hash.hash);
      found = equal && found === undefined ? nameOf(hash) : found;
    }
  }
  return found;
}

const saltOf = ({ salt, cost }: KeyHash): string =>
  `${cost.N}.${cost.r}.${cost.p}.${salt.toString("base64url")}`;

const nameOf = (hash: KeyHash): string =>
  `${saltOf(hash)}.${hash.hash.toString("base64url")}.${hash.id ?? ""}`;

/** At most `max` of them: the oldest goes. */
function makeRoom(table: Set<string> | Map<string, string>, max: number): void {
  const oldest = table.size >= max ? table.keys().next().value : undefined;
  if (oldest !== undefined) table.delete(oldest);
}
