import type * as Crypto from "node:crypto";
import { randomBytes, scryptSync } from "node:crypto";
import { expect, test, vi } from "vitest";
import { newKey } from "../../../server/keys/hash.ts";
import { hashKey, parseKeysFile } from "../../../server/keys/keys-file.ts";
import { KeyTable } from "../../../server/keys/verifier.ts";

/** Derivations that were asked for: what an unseen key costs. */
const derivations = vi.hoisted(() => ({ count: 0 }));
vi.mock("node:crypto", async (original) => {
  const real = await original<typeof Crypto>();
  const scrypt = (...args: Parameters<typeof real.scrypt>) => {
    derivations.count += 1;
    return real.scrypt(...args);
  };
  return { ...real, scrypt };
});

/** A line that is cheap to check, for tests that check many keys. */
function cheapLine(key: string, name: string, salt: Buffer = randomBytes(16)): string {
  const hash = scryptSync(key, salt, 32, { N: 1024, r: 1, p: 1 });
  const id = /^weir-([\w-]{12})\./.exec(key)?.[1];
  const suffix = id === undefined ? "" : `$${id}`;
  return `scrypt$1024$1$1$${salt.toString("base64url")}$${hash.toString("base64url")}${suffix} ${name}`;
}

test("a hashed key is found by its name, another key is not", async () => {
  const [ada, bob] = [newKey(), newKey()];
  const file = `# who may ask\n\n${await hashKey(ada, "ada")}\r\n  ${await hashKey(bob)}  \n`;
  const verifier = new KeyTable(parseKeysFile(file));
  expect(await verifier.verify(ada)).toMatchObject({ name: "ada" });
  expect(await verifier.verify(bob)).toMatchObject({ name: "key-4" });
  for (const wrong of [`${ada}x`, ada.slice(0, -1), "", ada.toUpperCase()]) {
    expect(await verifier.verify(wrong)).toBeUndefined();
    expect(await verifier.verify(wrong), "from the table of wrong keys").toBeUndefined();
  }
});

test("two hashes of one key differ, and hold nothing of it but its id", async () => {
  const key = newKey();
  const [first, second] = [await hashKey(key), await hashKey(key)];
  expect(first).not.toBe(second);
  const [, id, secret] = /^weir-([\w-]{12})\.([\w-]{32})$/.exec(key) ?? [];
  expect(first).not.toContain(secret?.slice(0, 8));
  expect(first.endsWith(`$${id}`)).toBe(true);
});

test("lines with one salt cost one derivation, and each keeps its own name", async () => {
  const salt = Buffer.from("0123456789abcdef");
  const lines = await Promise.all(["a", "b", "c"].map((key) => hashKey(key, key.toUpperCase(), salt)));
  const verifier = new KeyTable(parseKeysFile(lines.join("\n")));
  expect(await verifier.verify("c")).toMatchObject({ name: "C" });
  expect(await verifier.verify("a")).toMatchObject({ name: "A" });
});

test.each([
  ["plain text", "my-secret-key"],
  ["too few fields", "scrypt$16384$8$1$c2FsdHNhbHQ"],
  ["another method", "bcrypt$16384$8$1$c2FsdHNhbHQ$AAAA"],
  ["N that is no power of two", "scrypt$5000$8$1$c2FsdHNhbHRzYWx0$AAAA"],
  ["N that would take gigabytes", "scrypt$1073741824$8$1$c2FsdHNhbHRzYWx0$AAAA"],
  ["a huge p", "scrypt$16384$8$999999$c2FsdHNhbHRzYWx0$AAAA"],
  ["a short salt", `scrypt$16384$8$1$YQ$${"A".repeat(43)}`],
  ["a short hash", "scrypt$16384$8$1$c2FsdHNhbHRzYWx0$AAAA"],
  ["an id of another length", `scrypt$16384$8$1$c2FsdHNhbHRzYWx0$${"A".repeat(43)}$short`],
  ["a field too many", `scrypt$16384$8$1$c2FsdHNhbHRzYWx0$${"A".repeat(43)}$${"A".repeat(12)}$x`],
  ["a hash that is not base64url", `scrypt$16384$8$1$c2FsdHNhbHRzYWx0$${"!".repeat(43)}`],
])("a line with %s is refused by its number, without quoting it", (_, line) => {
  const read = () => parseKeysFile(`# first\n${line}\n`);
  expect(read).toThrow(/^keys file, line 2: /);
  expect(read).not.toThrow(new RegExp(line.slice(0, 12).replace(/\$/g, "\\$")));
});

test("a flood of unknown keys is turned away, and known keys still get in", async () => {
  const key = newKey();
  const verifier = new KeyTable(parseKeysFile(cheapLine(key, "ada")));
  await verifier.verify(key);
  let checked = 0;
  const flood = Array.from({ length: 60 }, (_, i) =>
    verifier.verify(`wrong-${i}`).then(
      () => {
        checked += 1;
        return undefined;
      },
      (error) => error.code,
    ),
  );
  expect(await verifier.verify(key)).toMatchObject({ name: "ada" });
  expect(checked, "a seen key does not wait behind unseen ones").toBeLessThan(32);
  const results = await Promise.all(flood);
  expect(results.filter((result) => result === "overloaded")).toHaveLength(60 - 32);
  expect(results.filter((result) => result === undefined)).toHaveLength(32);
});

async function costOf(check: () => Promise<unknown>): Promise<number> {
  const before = derivations.count;
  await check();
  return derivations.count - before;
}

test("a key with an id costs one derivation among many, whether it is right, wrong or of no known id", async () => {
  const keys = Array.from({ length: 20 }, newKey);
  const own = ["brought-along", "another-brought"].map((key) => cheapLine(key, "own"));
  const file = [...keys.map((key, i) => cheapLine(key, `k${i}`)), ...own];
  const verifier = new KeyTable(parseKeysFile(file.join("\n")));
  const [key = ""] = keys;
  const wrong = `${key.slice(0, -4)}AAAA`;
  expect(await costOf(async () => expect(await verifier.verify(key)).toMatchObject({ name: "k0" }))).toBe(1);
  expect(await costOf(async () => expect(await verifier.verify(wrong)).toBeUndefined())).toBe(1);
  expect(await costOf(async () => expect(await verifier.verify(newKey())).toBeUndefined())).toBe(1);
  expect(await costOf(async () => expect(await verifier.verify(key)).toMatchObject({ name: "k0" }))).toBe(0);
});

test("keys without an id are found on lines without one: brought along, or from before there were ids", async () => {
  const old = `weir-${"o".repeat(32)}`;
  const file = [cheapLine(newKey(), "new"), cheapLine(old, "old"), cheapLine("with.a-dot-and-more", "own")];
  const verifier = new KeyTable(parseKeysFile(file.join("\n")));
  expect(await costOf(async () => expect(await verifier.verify(old)).toMatchObject({ name: "old" }))).toBe(2);
  expect(await verifier.verify("with.a-dot-and-more")).toMatchObject({ name: "own" });
});

test("a flood of keys with and without ids does not keep an unseen key of a known id out", async () => {
  const [ada, bob] = [newKey(), newKey()];
  const verifier = new KeyTable(parseKeysFile([cheapLine(ada, "ada"), cheapLine(bob, "bob")].join("\n")));
  const wrongs = [
    ...Array.from({ length: 100 }, newKey),
    ...Array.from({ length: 100 }, (_, i) => `random-${i}`),
    ...Array.from({ length: 100 }, (_, i) => `${bob.slice(0, -3)}${100 + i}`),
  ];
  const flood = wrongs.map((key) => verifier.verify(key).catch((error) => error.code));
  expect(await verifier.verify(ada)).toMatchObject({ name: "ada" });
  const checked = (await Promise.all(flood)).filter((result) => result === undefined);
  expect(checked, "32 of all others together, 4 of bob's id").toHaveLength(32 + 4);
});
