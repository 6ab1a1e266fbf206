import { scryptSync } from "node:crypto";
import { expect, test } from "vitest";
import { createKeyVerifier, hashKey, newKey, parseKeysFile } from "../../../server/keys.ts";

/** A line that is cheap to check, for tests that check many keys. */
function cheapLine(key: string, name: string): string {
  const salt = Buffer.from("0123456789abcdef");
  const hash = scryptSync(key, salt, 32, { N: 1024, r: 1, p: 1 });
  return `scrypt$1024$1$1$${salt.toString("base64url")}$${hash.toString("base64url")} ${name}`;
}

test("a hashed key is found by its name, another key is not", async () => {
  const [ada, bob] = [newKey(), newKey()];
  const file = `# who may ask\n\n${await hashKey(ada, "ada")}\r\n  ${await hashKey(bob)}  \n`;
  const verifier = createKeyVerifier(parseKeysFile(file));
  expect(await verifier.verify(ada)).toEqual({ name: "ada" });
  expect(await verifier.verify(bob)).toEqual({ name: "key-4" });
  for (const wrong of [`${ada}x`, ada.slice(0, -1), "", ada.toUpperCase()]) {
    expect(await verifier.verify(wrong)).toBeUndefined();
    expect(await verifier.verify(wrong), "from the table of wrong keys").toBeUndefined();
  }
});

test("two hashes of one key differ, and hold nothing of it", async () => {
  const key = newKey();
  const [first, second] = [await hashKey(key), await hashKey(key)];
  expect(first).not.toBe(second);
  expect(first).not.toContain(key.slice(5, 15));
  expect(key).toMatch(/^weir-[\w-]{32}$/);
});

test("lines with one salt cost one derivation, and each keeps its own name", async () => {
  const salt = Buffer.from("0123456789abcdef");
  const lines = await Promise.all(["a", "b", "c"].map((key) => hashKey(key, key.toUpperCase(), salt)));
  const verifier = createKeyVerifier(parseKeysFile(lines.join("\n")));
  expect(await verifier.verify("c")).toEqual({ name: "C" });
  expect(await verifier.verify("a")).toEqual({ name: "A" });
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
  ["a hash that is not base64url", `scrypt$16384$8$1$c2FsdHNhbHRzYWx0$${"!".repeat(43)}`],
])("a line with %s is refused by its number, without quoting it", (_, line) => {
  const read = () => parseKeysFile(`# first\n${line}\n`);
  expect(read).toThrow(/^keys file, line 2: /);
  expect(read).not.toThrow(new RegExp(line.slice(0, 12).replace(/\$/g, "\\$")));
});

test("a flood of unknown keys is turned away, and known keys still get in", async () => {
  const key = newKey();
  const verifier = createKeyVerifier(parseKeysFile(cheapLine(key, "ada")));
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
  expect(await verifier.verify(key)).toEqual({ name: "ada" });
  expect(checked, "a seen key does not wait behind unseen ones").toBeLessThan(32);
  const results = await Promise.all(flood);
  expect(results.filter((result) => result === "overloaded")).toHaveLength(60 - 32);
  expect(results.filter((result) => result === undefined)).toHaveLength(32);
});
