/**
 * The file of WEIR_API_KEYS_FILE: one hash a line, and whose it is. Its keys may do everything; keys with scopes and limits
 * are in the store (`store.ts`).
 *
 *     scrypt$16384$8$1$SALT$HASH$ID name     (`#` begins a comment)
 */
import { unlimited } from "../ports.ts";
import { hashOf, parseHash } from "./hash.ts";
import type { KeyEntry } from "./verifier.ts";

const KEYS_MAX = 10_000;
const NAME_CHARACTERS_MAX = 100;

/** A line for the keys file. */
export const hashKey = async (key: string, name = "", salt?: Buffer): Promise<string> =>
  `${await hashOf(key, salt)} ${name}`.trim();

/** Throws an Error that names the line; it never quotes one, since someone may have put a plain key there. */
export function parseKeysFile(text: string): readonly KeyEntry[] {
  const entries: KeyEntry[] = [];
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    if (entries.length === KEYS_MAX) throw lineError(index, `there are more than ${KEYS_MAX} keys`);
    entries.push(parseLine(trimmed, index));
  }
  return entries;
}

function parseLine(line: string, index: number): KeyEntry {
  const [text = "", ...words] = line.split(/\s+/);
  const printable = words.join(" ").replace(/[^\x20-\x7e]/g, "?");
  const name = printable.slice(0, NAME_CHARACTERS_MAX) || `key-${index + 1}`;
  try {
    const hash = parseHash(text);
    return { hash, principal: unlimited(name, hash.id) };
  } catch (error) {
    throw lineError(index, (error as Error).message);
  }
}

const lineError = (index: number, why: string): Error => new Error(`keys file, line ${index + 1}: ${why}`);
