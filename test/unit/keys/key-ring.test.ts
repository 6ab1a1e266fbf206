/** Which keys let in while the files that they are in come, change, break and go. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type KeyRing, openKeyRing } from "../../../server/keys/key-ring.ts";
import { hashKey } from "../../../server/keys/keys-file.ts";
import { type StoredKey, storeFile, writeStore } from "../../../server/keys/store.ts";
import { madeKey, revoked } from "../../support/stored-keys.ts";

const POLL_MS = 20;

let home: string;
let ring: KeyRing | undefined;
let log: string[];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "weir-ring-"));
  log = [];
});
afterEach(() => {
  ring?.close();
  rmSync(home, { recursive: true, force: true });
});

const say = (level: string) => (facts: object, message: string) =>
  void log.push(`${level}: ${message} ${JSON.stringify(facts)}`);
function open(keysFile?: string): KeyRing {
  ring = openKeyRing(
    { store: storeFile(home), keysFile },
    { info: say("info"), error: say("error") },
    POLL_MS,
  );
  if (ring === undefined) throw new Error("it holds no key");
  return ring;
}

const save = (...keys: readonly StoredKey[]): void => writeStore(storeFile(home), keys);

/** Who comes in, or undefined; waits until it is `expected`, two seconds at most. */
async function becomes(of: KeyRing, key: string, expected: string | undefined): Promise<void> {
  await expect.poll(async () => (await of.verify(key))?.name, { timeout: 2000, interval: 10 }).toBe(expected);
}

test("without any key there is no ring; with a revoked one there is, and nobody comes in", async () => {
  expect(() => open()).toThrow("it holds no key");
  save();
  expect(() => open()).toThrow("it holds no key");
  const { key, stored } = await madeKey("ada");
  save(revoked(stored));
  expect(await open().verify(key)).toBeUndefined();
});

test("a key that is made or revoked while the server runs counts soon, also where it was seen before", async () => {
  const [ada, bob] = [await madeKey("ada"), await madeKey("bob")];
  save(ada.stored);
  const keys = open();
  expect(await keys.verify(ada.key)).toMatchObject({ name: "ada" });
  expect(await keys.verify(bob.key)).toBeUndefined();
  save(ada.stored, bob.stored);
  await becomes(keys, bob.key, "bob");
  save(revoked(ada.stored), bob.stored);
  await becomes(keys, ada.key, undefined);
  expect(await keys.verify(bob.key)).toMatchObject({ name: "bob" });
});

test("what a key may do changes with the store, without its being derived again", async () => {
  const { key, stored } = await madeKey("ada");
  save(stored);
  const keys = open();
  expect(await keys.verify(key)).toMatchObject({ scopes: ["inference"] });
  save({ ...stored, scopes: ["metrics"], requests_per_minute: 5 });
  expect(keys.refresh()).toBe(true);
  const again = keys.verify(key);
  const first = await Promise.race([again, new Promise((resolve) => setTimeout(resolve, 0, "derives"))]);
  expect(first).toMatchObject({ scopes: ["metrics"], requestsPerMinute: 5 });
  expect(keys.refresh(), "nothing has changed since").toBe(false);
});

test("a check that is under way while its key is revoked lets nobody in", async () => {
  const { key, stored } = await madeKey("ada");
  save(stored);
  const keys = open();
  const checking = keys.verify(key);
  save(revoked(stored));
  keys.refresh();
  expect(await checking).toBeUndefined();
  expect(await keys.verify(key)).toBeUndefined();
});

test("a check that is under way while its key is made does not keep it out", async () => {
  const [ada, bob] = [await madeKey("ada"), await madeKey("bob")];
  save(ada.stored);
  const keys = open();
  const checking = keys.verify(bob.key);
  save(ada.stored, bob.stored);
  keys.refresh();
  expect(await checking).toBeUndefined();
  expect(await keys.verify(bob.key)).toMatchObject({ name: "bob" });
});

const replace = (file: string, make: () => void): void => {
  rmSync(file);
  make();
};
test.each([
  ["is cut short", (file: string) => writeFileSync(file, '{"version":1,"keys":[')],
  ["is empty", (file: string) => writeFileSync(file, "")],
  ["is a folder", (file: string) => replace(file, () => mkdirSync(file))],
  ["cannot be opened", (file: string) => replace(file, () => symlinkSync(file, file))],
  ["is too large", (file: string) => writeFileSync(file, " ".repeat(16 * 1024 * 1024 + 1))],
])("a store that %s keeps its keys in force, lets nobody else in, and is logged once", async (_, break_) => {
  const file = storeFile(home);
  const [ada, bob] = [await madeKey("ada"), await madeKey("bob")];
  save(ada.stored);
  const keys = open();
  await keys.verify(ada.key);
  break_(file);
  await expect.poll(() => log.length, { timeout: 2000 }).toBe(1);
  expect(log[0]).toMatch(/^error: API keys cannot be read; those that were read before stay in force/);
  expect(await keys.verify(ada.key)).toMatchObject({ name: "ada" });
  expect(await keys.verify(bob.key)).toBeUndefined();
  await new Promise((resolve) => setTimeout(resolve, 5 * POLL_MS));
  expect(log).toHaveLength(1);
  rmSync(file, { recursive: true });
  save(revoked(ada.stored), bob.stored);
  await becomes(keys, bob.key, "bob");
  expect(await keys.verify(ada.key)).toBeUndefined();
});

test("a store that is gone lets none of its keys in, until it is back", async () => {
  const { key, stored } = await madeKey("ada");
  save(stored);
  const keys = open();
  await becomes(keys, key, "ada");
  rmSync(storeFile(home));
  await becomes(keys, key, undefined);
  expect(log.join()).toContain("is gone; none of its keys is let in any more");
  save(stored);
  await becomes(keys, key, "ada");
});

test("the keys file lets in beside the store, with all rights, and follows its changes too", async () => {
  const file = join(home, "keys.txt");
  const [ada, own] = [await madeKey("ada"), "my-own-key-0123456789"];
  writeFileSync(file, await hashKey(own, "own"));
  const keys = open(file);
  expect(await keys.verify(own)).toMatchObject({ name: "own", scopes: ["admin"], policy: undefined });
  save(ada.stored);
  await becomes(keys, ada.key, "ada");
  writeFileSync(file, "# nobody\n");
  await becomes(keys, own, undefined);
  expect(await keys.verify(ada.key)).toMatchObject({ name: "ada" });
});

test("a revoked key does not come in by a copy of its hash in the keys file", async () => {
  const file = join(home, "keys.txt");
  const { key, stored } = await madeKey("ada");
  writeFileSync(file, `${stored.hash} copy\n`);
  save(revoked(stored));
  expect(await open(file).verify(key)).toBeUndefined();
});

test("a file that is there and cannot be read does not open the server at start", async () => {
  writeFileSync(storeFile(home), "{");
  expect(() => open()).toThrow("is not valid JSON");
});

test("a closed ring looks at its files no more", async () => {
  const { key, stored } = await madeKey("ada");
  save(stored);
  const keys = open();
  keys.close();
  save(revoked(stored));
  await new Promise((resolve) => setTimeout(resolve, 5 * POLL_MS));
  expect(await keys.verify(key)).toMatchObject({ name: "ada" });
});
