/**
 * The store of keys, `$WEIR_HOME/keys.json`: who may ask for what, and how much of it. `weir keys create` and `revoke` write
 * it, the server reads it. Revoked keys stay in it, so that a name in an old log still says whose it was.
 */
import {
  closeSync,
  fchownSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { DATA_CLASSES } from "../../engine/core/data-class.ts";
import { ownCommand } from "../own-command.ts";
import { SCOPES } from "../ports.ts";
import { parseHash } from "./hash.ts";
import type { KeyEntry } from "./verifier.ts";
import { FILE_BYTES_MAX, readWhole } from "./watched-file.ts";

/** Live and revoked ones together. */
const KEYS_MAX = 10_000;
const REQUESTS_PER_MINUTE_MAX = 1_000_000;
const TOKENS_PER_MINUTE_MAX = 1_000_000_000;

/** Where the store of a WEIR_HOME is. */
export const storeFile = (home: string): string => join(home, "keys.json");

/** Of a key and of a team: for people, in logs and lists. */
const nameSchema = z
  .string()
  .max(100, "must have at most 100 characters")
  .regex(
    /^[\p{L}\p{N}](?:[\p{L}\p{M}\p{N} ._@+:/-]*[\p{L}\p{M}\p{N}._@+:/-])?$/u,
    "must be letters, digits, spaces and ._@+:/-, beginning with a letter or digit",
  );
/** As policy.yaml names the rules for keys. */
const policySchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/, "must be a name of letters, digits and ._/-");
const modelSchema = z
  .string()
  .regex(/^[^\s,\p{C}]{1,256}$/u, "must be a model's name, without spaces and commas");
const count = (max: number) =>
  z
    .int(`must be a whole number from 1 to ${max}`)
    .min(1, "must be at least 1")
    .max(max, `must be at most ${max}`);

/** Nothing has a default: a field that somebody deleted must not become a right. */
export const StoredKeySchema = z.strictObject({
  id: z.string(),
  name: nameSchema,
  team: nameSchema.nullable(),
  /** Name of the policy's rules for it. */
  policy: policySchema.nullable(),
  /** Its requests are at least of this class. */
  class_floor: z.enum(DATA_CLASSES),
  /** Names that it may send as `model`; empty: all. */
  models: z.array(modelSchema).max(256, "must be at most 256 names"),
  scopes: z.array(z.enum(SCOPES)).min(1, "must hold a scope"),
  requests_per_minute: count(REQUESTS_PER_MINUTE_MAX).nullable(),
  tokens_per_minute: count(TOKENS_PER_MINUTE_MAX).nullable(),
  created_at: z.iso.datetime(),
  revoked_at: z.iso.datetime().nullable(),
  /** As hash.ts has it, with the id. */
  hash: z.string(),
});
export type StoredKey = z.infer<typeof StoredKeySchema>;

const StoreSchema = z.strictObject({
  version: z.literal(1, "must be 1; a newer weir may have written it"),
  keys: z.array(StoredKeySchema).max(KEYS_MAX, `must be at most ${KEYS_MAX} keys`),
});

/** What a command was asked for cannot be done; the message says why, and what can. */
class KeyStoreError extends Error {
  override readonly name = "KeyStoreError";
}

/** Throws an Error that says where in the file what is wrong; it quotes none of it. */
export function parseStore(text: string): readonly StoredKey[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error("is not valid JSON");
  }
  const { data, error } = StoreSchema.safeParse(json);
  if (data === undefined) throw new Error(error.issues.slice(0, 3).map(problemOf).join("; "));
  const ids = new Set<string>();
  for (const [index, { id, hash }] of data.keys.entries()) {
    if (ids.has(id)) throw new Error(`keys.${index}.id is that of another key`);
    ids.add(id);
    if (hashIdOf(hash, index) !== id) throw new Error(`keys.${index}.hash is not of the id ${id}`);
  }
  return data.keys;
}

function problemOf({ code, path, message }: z.core.$ZodIssue): string {
  const where = path.length === 0 ? "the file" : path.map(String).join(".");
  return `${where} ${code === "unrecognized_keys" ? "holds a field that weir does not know" : message}`;
}

function hashIdOf(hash: string, index: number): string | undefined {
  try {
    return parseHash(hash).id;
  } catch (error) {
    throw new Error(`keys.${index}.hash: ${(error as Error).message}`);
  }
}

const isLive = ({ revoked_at }: StoredKey): boolean => revoked_at === null;

/** What the verifier needs of the keys that are not revoked. */
export const liveEntries = (keys: readonly StoredKey[]): readonly KeyEntry[] =>
  keys.filter(isLive).map((key) => ({
    hash: parseHash(key.hash),
    principal: {
      name: key.name,
      id: key.id,
      team: key.team ?? undefined,
      scopes: key.scopes,
      policy: key.policy ?? undefined,
      classFloor: key.class_floor,
      models: key.models,
      requestsPerMinute: key.requests_per_minute ?? undefined,
      tokensPerMinute: key.tokens_per_minute ?? undefined,
    },
  }));

/** The keys and one more. Where the store is full, the key that was revoked first goes. Throws KeyStoreError. */
export function withKey(keys: readonly StoredKey[], added: StoredKey): readonly StoredKey[] {
  const namesake = keys.find((key) => isLive(key) && key.name === added.name);
  if (namesake !== undefined) {
    throw new KeyStoreError(
      `--name: there is a key named ${added.name} already (${namesake.id}). Choose another name, or revoke that one first.`,
    );
  }
  if (keys.length < KEYS_MAX) return [...keys, added];
  const [oldest] = keys
    .filter((key) => !isLive(key))
    .sort((a, b) => (a.revoked_at ?? "").localeCompare(b.revoked_at ?? ""));
  if (oldest === undefined) {
    throw new KeyStoreError(`There are ${KEYS_MAX} keys, and no more fit. Revoke those that nobody uses.`);
  }
  return [...keys.filter((key) => key !== oldest), added];
}

/** `wanted` is an id or a name; `at` in ISO 8601. Throws KeyStoreError where it is none of them, or several. */
export function withRevoked(
  keys: readonly StoredKey[],
  wanted: string,
  at: string,
): { readonly keys: readonly StoredKey[]; readonly revoked: StoredKey } {
  const named = keys.filter(({ id, name }) => id === wanted || name === wanted);
  const [found, ...others] = named.filter(isLive);
  if (found === undefined) {
    const [gone] = named;
    if (gone !== undefined) {
      throw new KeyStoreError(
        `The key ${gone.name} (${gone.id}) was revoked already, at ${gone.revoked_at}.`,
      );
    }
    throw new KeyStoreError(
      `There is no key with the id or name ${wanted}. ${liveOnes(keys.filter(isLive))}`,
    );
  }
  if (others.length > 0) {
    const which = `${1 + others.length} keys have the id or name ${wanted}; give the id of one`;
    throw new KeyStoreError(`${which}. ${liveOnes([found, ...others])}`);
  }
  const revoked = { ...found, revoked_at: at };
  return { keys: keys.map((key) => (key === found ? revoked : key)), revoked };
}

const SHOWN_MAX = 20;

function liveOnes(keys: readonly StoredKey[]): string {
  if (keys.length === 0) return "No key is in force.";
  const shown = keys.slice(0, SHOWN_MAX).map(({ id, name }) => `${id}  ${name}`);
  const more =
    keys.length > SHOWN_MAX ? [`and ${keys.length - SHOWN_MAX} more: \`${ownCommand()} keys list\``] : [];
  return ["In force:", ...shown, ...more].join("\n  ");
}

/** Empty where there is no file. Throws KeyStoreError where it is there and cannot be read. */
export function readStore(file: string): readonly StoredKey[] {
  const reading = readWhole(file, parseStore);
  if (reading.kind === "broken") throw new KeyStoreError(`${file}: ${reading.why}`);
  return reading.kind === "read" ? reading.value : [];
}

/**
 * Only with the lock of `lockOf(file)` in hand, or another command's change is lost. Whoever reads meanwhile finds the old
 * file or the new one, whole; after a power cut too.
 */
export function writeStore(file: string, keys: readonly StoredKey[]): void {
  const text = `${JSON.stringify({ version: 1, keys }, undefined, 2)}\n`;
  if (Buffer.byteLength(text) > FILE_BYTES_MAX) {
    throw new KeyStoreError(`${file} would have more than ${FILE_BYTES_MAX} bytes. Use fewer models a key.`);
  }
  const folder = dirname(file);
  const fresh = `${file}.new`;
  rmSync(fresh, { force: true });
  const handle = openSync(fresh, "wx", 0o600);
  try {
    writeFileSync(handle, text);
    giveToOwnerOf(file, folder, handle);
    fsyncSync(handle);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  } finally {
    closeSync(handle);
  }
  renameSync(fresh, file);
  const opened = openSync(folder, "r");
  fsyncSync(opened);
  closeSync(opened);
}

export const lockOf = (file: string): string => `${file}.lock`;

/** The administrator's command must not take the file away from the user that the server runs as. */
function giveToOwnerOf(file: string, folder: string, handle: number): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(file, { throwIfNoEntry: false }) ?? statSync(folder);
  fchownSync(handle, uid, gid);
}

/** The folder of `file`, for its owner alone where there is none yet. */
export const makeHome = (file: string): void =>
  void mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
