import { chmodSync, chownSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hashOf, idOf, newKey } from "../../../server/keys/hash.ts";
import {
  liveEntries,
  parseStore,
  readStore,
  storeFile,
  withKey,
  withRevoked,
  writeStore,
} from "../../../server/keys/store.ts";
import { storedKey } from "../../support/stored-keys.ts";

const HASH = storedKey(9).hash;

const text = (...keys: readonly object[]): string => JSON.stringify({ version: 1, keys });
const REVOKED = { revoked_at: "2026-02-01T00:00:00.000Z" };

describe("the file", () => {
  let home: string;
  let file: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "weir-keys-"));
    file = storeFile(home);
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  test("gives back what was written, is for its owner alone, and leaves nothing beside it", () => {
    const keys = [
      storedKey(1),
      storedKey(2, { ...REVOKED, team: "财务", models: ["a/b"], policy: "hr-bot" }),
    ];
    writeStore(file, [storedKey(0)]);
    chmodSync(file, 0o644);
    writeFileSync(`${file}.new`, "left by a killed command", { mode: 0o666 });
    writeStore(file, keys);
    expect(readStore(file)).toEqual(keys);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(home)).toEqual(["keys.json"]);
  });

  test("that is not there holds no key; one that cannot be read is an error with its name", () => {
    expect(readStore(file)).toEqual([]);
    writeFileSync(file, "{");
    expect(() => readStore(file)).toThrow(`${file}: is not valid JSON`);
    rmSync(file);
    expect(() => readStore(home)).toThrow("is not a file");
  });

  test.skipIf(process.getuid?.() !== 0)("stays its owner's when the administrator changes it", () => {
    chownSync(home, 1234, 1235);
    writeStore(file, []);
    expect(statSync(file)).toMatchObject({ uid: 1234, gid: 1235 });
    chownSync(file, 1236, 1237);
    writeStore(file, [storedKey(1)]);
    expect(statSync(file)).toMatchObject({ uid: 1236, gid: 1237 });
  });
});

describe("a store", () => {
  test("says to whom a live key belongs and what it may do, and nothing of a revoked one", () => {
    const full = storedKey(1, {
      team: "people",
      policy: "hr",
      class_floor: "restricted",
      models: ["a"],
      scopes: ["inference", "metrics"],
      requests_per_minute: 60,
      tokens_per_minute: 1000,
    });
    const entries = liveEntries(parseStore(text(full, storedKey(2, REVOKED), storedKey(3))));
    expect(entries.map(({ principal }) => principal)).toEqual([
      {
        name: "key 1",
        id: full.id,
        team: "people",
        scopes: ["inference", "metrics"],
        policy: "hr",
        classFloor: "restricted",
        models: ["a"],
        requestsPerMinute: 60,
        tokensPerMinute: 1000,
      },
      expect.objectContaining({ name: "key 3", scopes: ["inference"], requestsPerMinute: undefined }),
    ]);
    expect(entries.map(({ hash }) => hash.id)).toEqual([full.id, storedKey(3).id]);
  });

  test("with a field left out is refused: nothing that is missing becomes a right", () => {
    for (const field of Object.keys(storedKey(1))) {
      const { [field as "id"]: _, ...rest } = storedKey(1);
      expect(() => parseStore(text(storedKey(0), rest)), field).toThrow(`keys.1.${field}`);
    }
  });

  test.each<[string, object, RegExp]>([
    ["a scope that there is not", { scopes: ["everything"] }, /^keys\.0\.scopes\.0 /],
    ["no scope", { scopes: [] }, /^keys\.0\.scopes must hold a scope/],
    ["a class that there is not", { class_floor: "secret" }, /^keys\.0\.class_floor /],
    ["a limit of nothing", { requests_per_minute: 0 }, /requests_per_minute must be at least 1/],
    ["half a request", { requests_per_minute: 0.5 }, /requests_per_minute must be a whole number/],
    ["a name of two lines", { name: "a\nb" }, /^keys\.0\.name must be letters/],
    ["a hash of another key", { hash: HASH }, /^keys\.0\.hash is not of the id/],
    ["a hash without an id", { hash: HASH.replace(/\$[^$]*$/, "") }, /^keys\.0\.hash is not of the id/],
    ["a plain key for a hash", { hash: "weir-plain-secret" }, /^keys\.0\.hash: expected scrypt/],
    ["a field too many", { "weir-plain-secret": 1 }, /^keys\.0 holds a field that weir does not know/],
    ["a date that is none", { revoked_at: "weir-plain-secret" }, /^keys\.0\.revoked_at /],
  ])("with %s is refused, with its place and without quoting it", (_, wrong, message) => {
    const parse = () => parseStore(text({ ...storedKey(1), ...wrong }));
    expect(parse).toThrow(message);
    expect(parse).not.toThrow(/plain-secret|everything/);
  });

  test("of another version, with one id twice, or that is no JSON is refused", () => {
    expect(() => parseStore('{"version":2,"keys":[]}')).toThrow("version must be 1");
    expect(() => parseStore(text(storedKey(1), storedKey(1)))).toThrow("keys.1.id is that of another key");
    expect(() => parseStore("weir-plain-secret")).toThrow(/^is not valid JSON$/);
  });
});

describe("a new key", () => {
  test("has a name that no live key has; a revoked key's name is free", () => {
    const keys = [storedKey(1, { name: "app" }), storedKey(2, { name: "old", ...REVOKED })];
    expect(() => withKey(keys, storedKey(3, { name: "app" }))).toThrow(
      /--name: .* app already \(id-000000001\)/,
    );
    expect(withKey(keys, storedKey(3, { name: "old" }))).toHaveLength(3);
  });

  test("takes the place of the key that was revoked first where the store is full", () => {
    const keys = Array.from({ length: 10_000 }, (_, index) => storedKey(index));
    expect(() => withKey(keys, storedKey(10_000))).toThrow(/10000 keys.*Revoke/);
    keys[7] = storedKey(7, { revoked_at: "2026-03-01T00:00:00.000Z" });
    keys[8] = storedKey(8, { revoked_at: "2026-02-01T00:00:00.000Z" });
    const after = withKey(keys, storedKey(10_000));
    expect(after).toHaveLength(10_000);
    expect([after.includes(keys[7]), after.includes(keys[8])]).toEqual([true, false]);
  });
});

describe("revoking", () => {
  const AT = "2026-05-05T00:00:00.000Z";
  const keys = [
    storedKey(1, { name: "app" }),
    storedKey(2, { name: "app", ...REVOKED }),
    storedKey(3, { name: "id-000000001" }),
    storedKey(4, { name: "gone", ...REVOKED }),
  ];

  test("takes an id or a name, and leaves the others as they are", () => {
    const byName = withRevoked(keys, "app", AT);
    expect(byName.revoked).toEqual({ ...keys[0], revoked_at: AT });
    expect(byName.keys).toEqual([{ ...keys[0], revoked_at: AT }, ...keys.slice(1)]);
    expect(withRevoked(keys, "id-000000003", AT).revoked.id).toBe("id-000000003");
  });

  test("refuses what fits several keys, none or only revoked ones, and says which there are", () => {
    const of = (wanted: string) => () => withRevoked(keys, wanted, AT);
    expect(of("id-000000001")).toThrow(
      /^2 keys have .*\n {2}id-000000001 {2}app\n {2}id-000000003 {2}id-000000001$/,
    );
    expect(of("ap")).toThrow(/^There is no key .* ap\. In force:\n {2}id-000000001 {2}app\n/);
    expect(of("gone")).toThrow(/revoked already, at 2026-02-01/);
    expect(() => withRevoked([], "x", AT)).toThrow("No key is in force.");
    const many = Array.from({ length: 30 }, (_, index) => storedKey(index));
    expect(() => withRevoked(many, "x", AT)).toThrow(/and 10 more: /);
  });
});

test("the id of a key is in the hash that the store keeps", async () => {
  const key = newKey();
  expect((await hashOf(key)).endsWith(`$${idOf(key)}`)).toBe(true);
});
