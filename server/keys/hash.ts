/**
 * API keys and their hashes: what is stored is scrypt's answer, never a key. Keys that weir makes are `weir-ID.SECRET`, and
 * their hashes carry the id, which is no secret, so that an unseen key costs one derivation however many keys there are. A
 * key that somebody brought has no id.
 *
 *     scrypt$16384$8$1$SALT$HASH$ID     (SALT and HASH in base64url; `$ID` is optional)
 */
import { randomBytes, scrypt } from "node:crypto";

const HASH_BYTES = 32;
const SALT_BYTES = 16;
const SALT_BYTES_MIN = 8;
const COST = { N: 16_384, r: 8, p: 1 } as const;
/** Memory of one derivation is 128 * N * r bytes; a hash that asks for more is refused. */
const MEMORY_MAX = 64 * 2 ** 20;
const ID_BYTES = 9;
const SECRET_BYTES = 24;
const ID = /^[\w-]{12}$/;
/** Only what newKey() makes: a user's own key may look like almost anything and is whole a secret. */
const KEY_WITH_ID = /^weir-([\w-]{12})\.[\w-]{32}$/;

export interface KeyHash {
  /** The part of the key that is no secret; undefined where the key has none or its hash is from before there were ids. */
  readonly id: string | undefined;
  readonly cost: { readonly N: number; readonly r: number; readonly p: number };
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/** A new key: an id, and 192 random bits. */
export const newKey = (): string =>
  `weir-${randomBytes(ID_BYTES).toString("base64url")}.${randomBytes(SECRET_BYTES).toString("base64url")}`;

export const idOf = (key: string): string | undefined => KEY_WITH_ID.exec(key)?.[1];

/** As parseHash() reads it. Hashes without an id that share a salt are checked with one derivation. */
export async function hashOf(key: string, salt: Buffer = randomBytes(SALT_BYTES)): Promise<string> {
  const hash = await derive(key, { salt, cost: COST });
  const id = idOf(key);
  const fields = ["scrypt", COST.N, COST.r, COST.p, salt.toString("base64url"), hash.toString("base64url")];
  return [...fields, ...(id === undefined ? [] : [id])].join("$");
}

/** Throws an Error with what is wrong; it quotes nothing, since someone may have put a plain key there. */
export function parseHash(text: string): KeyHash {
  const fields = text.split("$");
  if ((fields.length !== 6 && fields.length !== 7) || fields[0] !== "scrypt") {
    throw new Error("expected scrypt$N$r$p$SALT$HASH, perhaps $ID");
  }
  const [N = 0, r = 0, p = 0] = fields
    .slice(1, 4)
    .map((field) => (/^\d{1,9}$/.test(field) ? Number(field) : 0));
  if (N < 1024 || !Number.isInteger(Math.log2(N))) throw new Error("N must be a power of two from 1024");
  if (r < 1 || p < 1 || p > 16 || 128 * N * r > MEMORY_MAX) {
    throw new Error(`r and p must be from 1, p at most 16, and 128 * N * r at most ${MEMORY_MAX} bytes`);
  }
  const [salt = "", digest = "", id] = fields.slice(4);
  const parsed = {
    id,
    cost: { N, r, p },
    salt: Buffer.from(salt, "base64url"),
    hash: Buffer.from(digest, "base64url"),
  };
  if (!/^[\w-]+$/.test(salt) || parsed.salt.length < SALT_BYTES_MIN)
    throw new Error(`the salt must be base64url of ${SALT_BYTES_MIN} bytes or more`);
  if (!/^[\w-]+$/.test(digest) || parsed.hash.length !== HASH_BYTES)
    throw new Error(`the hash must be base64url of ${HASH_BYTES} bytes`);
  if (id !== undefined && !ID.test(id)) throw new Error("the id must be 12 characters of base64url");
  return parsed;
}

/** As costly to compare with as `like` is, or as new hashes are; no key is known that fits. */
export const nobodysHash = (like: KeyHash | undefined): KeyHash => ({
  id: undefined,
  cost: like?.cost ?? COST,
  salt: randomBytes(SALT_BYTES),
  hash: randomBytes(HASH_BYTES),
});

export function derive(key: string, { salt, cost }: Pick<KeyHash, "salt" | "cost">): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(key, salt, HASH_BYTES, { ...cost, maxmem: 2 * MEMORY_MAX }, (error, hash) =>
      error === null ? resolve(hash) : reject(error),
    );
  });
}
