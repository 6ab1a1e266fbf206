/** Keys as the store has them. */
import { hashOf, idOf, newKey } from "../../server/keys/hash.ts";
import type { StoredKey } from "../../server/keys/store.ts";

const PLAIN: Omit<StoredKey, "id" | "name" | "hash"> = {
  team: null,
  policy: null,
  class_floor: "public",
  models: [],
  scopes: ["inference"],
  requests_per_minute: null,
  tokens_per_minute: null,
  created_at: "2026-01-01T00:00:00.000Z",
  revoked_at: null,
};

/** As `weir keys create` makes it. */
export async function madeKey(
  name: string,
  more: Partial<StoredKey> = {},
): Promise<{ readonly key: string; readonly stored: StoredKey }> {
  const key = newKey();
  return { key, stored: { id: idOf(key) ?? "", name, ...PLAIN, hash: await hashOf(key), ...more } };
}

/** Its hash is right in form, and no key fits it: costs nothing. */
export function storedKey(index: number, more: Partial<StoredKey> = {}): StoredKey {
  const id = `id-${String(index).padStart(9, "0")}`;
  const hash = `scrypt$16384$8$1$${"s".repeat(22)}$${"h".repeat(43)}$${id}`;
  return { id, name: `key ${index}`, ...PLAIN, hash, ...more };
}

export const revoked = (stored: StoredKey): StoredKey => ({
  ...stored,
  revoked_at: "2026-02-01T00:00:00.000Z",
});
