import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { takeLock } from "../../../models/lock.ts";
import { parseKeysFile } from "../../../server/keys/keys-file.ts";
import {
  liveEntries,
  lockOf,
  readStore,
  type StoredKey,
  storeFile,
  writeStore,
} from "../../../server/keys/store.ts";
import { type KeyEntry, KeyTable } from "../../../server/keys/verifier.ts";
import { freshHome, weir } from "../../support/commands.ts";
import { runWeir } from "../../support/served.ts";
import { storedKey } from "../../support/stored-keys.ts";

let home: string;
const saved = { ...process.env };
beforeEach(() => {
  home = freshHome();
});
afterEach(() => {
  process.env = { ...saved };
  rmSync(home, { recursive: true, force: true });
});

describe("weir keys hash", () => {
  test("makes a key, shows it once, and its line lets exactly that key in", async () => {
    const { out, err, code } = await weir(["keys", "hash", "--name", "alice"]);
    expect(code).toBe(0);
    const key = /shown this once: (\S+)/.exec(err)?.[1] ?? "";
    expect(out).not.toContain(key);
    const verifier = new KeyTable(parseKeysFile(out));
    expect(await verifier.verify(key)).toMatchObject({ name: "alice" });
    expect(await verifier.verify(`${key}x`)).toBeUndefined();
  });

  test("takes a key from standard input and does not repeat it", async () => {
    const { out, err } = await weir(["keys", "hash"], "my-own-key-0123456789\n");
    expect(out + err).not.toContain("my-own-key");
    expect(await new KeyTable(parseKeysFile(out)).verify("my-own-key-0123456789")).toBeDefined();
  });

  test("refuses keys that are too short or more than one", async () => {
    expect(await weir(["keys", "hash"], "short")).toMatchObject({
      code: 1,
      err: expect.stringContaining("16 to 512"),
    });
    expect(await weir(["keys", "hash"], "one two-0123456789012345")).toMatchObject({ code: 1 });
  });
});

describe("weir keys", () => {
  const create = (...options: string[]) => weir(["keys", "create", ...options]);
  const listed = async () => JSON.parse((await weir(["keys", "list", "--json"])).out);

  test("create writes the key alone to standard output, and it lets in with the rights that were asked for", async () => {
    const { code, out, err } = await create(
      ...["--name", "hr-bot", "--team", "people", "--policy", "hr", "--class-floor", "restricted"],
      ...["--models", "local/a, b,local/a", "--scopes", "inference,metrics"],
      ...["--requests-per-minute", "60", "--tokens-per-minute", "100000"],
    );
    expect([code, out]).toEqual([0, expect.stringMatching(/^weir-[\w-]{12}\.[\w-]{32}$/)]);
    expect(err).not.toContain(out);
    expect(err).toMatch(/first key: a server that runs without keys .* until it is restarted/);
    const [{ principal }] = liveEntries(readStore(storeFile(home))) as [KeyEntry];
    expect(principal).toEqual({
      ...{ name: "hr-bot", id: out.slice(5, 17), team: "people", policy: "hr", classFloor: "restricted" },
      ...{ models: ["local/a", "b"], scopes: ["inference", "metrics"] },
      ...{ requestsPerMinute: 60, tokensPerMinute: 100_000 },
    });
    const table = new KeyTable(liveEntries(readStore(storeFile(home))));
    expect(await table.verify(out)).toEqual(principal);
  });

  test("without options a key may ask every model for answers, without limits", async () => {
    await create("--name", "first");
    const { err } = await create("--name", "second");
    expect(err).not.toContain("first key");
    const [{ principal }] = liveEntries(readStore(storeFile(home))) as [KeyEntry];
    expect(principal).toMatchObject({ scopes: ["inference"], models: [], classFloor: "public" });
    expect([principal.requestsPerMinute, principal.policy, principal.team]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  test.each([
    [["--name", "two\nlines"], "--name must be letters"],
    [["--name", "a", "--team", ""], "--team must be letters"],
    [["--name", "a", "--policy", "h r"], "--policy must be a name"],
    [
      ["--name", "a", "--class-floor", "secret"],
      "--class-floor must be one of public, internal, personal, restricted.",
    ],
    [["--name", "a", "--models", "a,,b"], "--models must be a model's name"],
    [["--name", "a", "--scopes", "root"], "--scopes must be one or more of inference, metrics, admin"],
    [["--name", "a", "--scopes", ""], "--scopes must be one or more of"],
    [["--name", "a", "--requests-per-minute", "0"], "--requests-per-minute must be at least 1."],
    [
      ["--name", "a", "--requests-per-minute", "1e3"],
      "--requests-per-minute must be a whole number from 1 to 1000000.",
    ],
    [["--name", "a", "--tokens-per-minute", "-5"], "--tokens-per-minute must be a whole number"],
    [
      ["--name", "a", "--tokens-per-minute", "99999999999"],
      "--tokens-per-minute must be at most 1000000000.",
    ],
    [[], "--name"],
  ])("create %j is exit code 2, names the option and makes no key", async (options, message) => {
    expect(await create(...options)).toMatchObject({
      code: 2,
      out: "",
      err: expect.stringContaining(message),
    });
    expect(existsSync(storeFile(home))).toBe(false);
  });

  test("every wrong option is named at once", async () => {
    const { err } = await create("--name", "a", "--class-floor", "x", "--tokens-per-minute", "x");
    expect(err).toMatch(/--class-floor[\s\S]*\n[\s\S]*--tokens-per-minute/);
  });

  test("a name is given to one live key only", async () => {
    await create("--name", "app");
    expect(await create("--name", "app")).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringContaining("--name"),
    });
    await weir(["keys", "revoke", "app"]);
    expect(await create("--name", "app")).toMatchObject({ code: 0 });
  });

  test("list shows keys and what was revoked, and no hash", async () => {
    expect((await weir(["keys", "list"])).err).toContain("keys create --name NAME");
    await create(
      "--name",
      "ada",
      "--team",
      "maths",
      "--requests-per-minute",
      "5",
      "--tokens-per-minute",
      "70",
    );
    await create("--name", "bob", "--scopes", "admin", "--models", "a,b");
    await weir(["keys", "revoke", "bob"]);
    const { out } = await weir(["keys", "list"]);
    expect(out).toMatch(
      /^[\w-]{12} +ada +maths +inference +- +public +all +5 requests, 70 tokens +\d{4}-\d\d-\d\d$/m,
    );
    expect(out).toMatch(/ bob +- +admin +- +public +a,b +- .* revoked \d{4}-\d\d-\d\d$/m);
    const [ada, bob] = await listed();
    expect(ada).toMatchObject({ name: "ada", requests_per_minute: 5, revoked_at: null });
    expect(bob.revoked_at).toMatch(/^\d{4}-/);
    expect(out + JSON.stringify([ada, bob])).not.toMatch(/scrypt|hash/);
  });

  test("revoke takes an id or a name, and says when no key is left", async () => {
    const first = (await create("--name", "ada")).out.slice(5, 17);
    await create("--name", "bob");
    const { out, err } = await weir(["keys", "revoke", first]);
    expect([out, err]).toEqual([expect.stringContaining(`Revoked ada (${first})`), ""]);
    expect((await weir(["keys", "revoke", "bob"])).err).toContain("nobody gets in");
    expect(liveEntries(readStore(storeFile(home)))).toEqual([]);
    expect(await weir(["keys", "revoke", "carol"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("no key"),
    });
  });

  test("a command waits for another one's change, and loses nothing of it", async () => {
    await create("--name", "old");
    const store = storeFile(home);
    takeLock(lockOf(store), "the API keys", { now: () => performance.now(), wall: () => Date.now() });
    const waiting = [create("--name", "mine"), runWeir(home, "keys", "revoke", "old")] as const;
    await new Promise((resolve) => setTimeout(resolve, 500));
    const [old] = readStore(store);
    writeStore(store, [old as StoredKey, storedKey(1, { name: "theirs" })]);
    rmSync(lockOf(store));
    expect((await Promise.all(waiting)).map(({ code }) => code)).toEqual([0, 0]);
    const keys = (await listed()) as { name: string; revoked_at: string | null }[];
    expect(keys.map(({ name }) => name)).toEqual(["old", "theirs", "mine"]);
    expect(keys[0]?.revoked_at).not.toBeNull();
    expect(existsSync(lockOf(store))).toBe(false);
  });

  test("a broken store is named and left as it is", async () => {
    writeFileSync(storeFile(home), "{");
    expect(await create("--name", "a")).toMatchObject({
      code: 1,
      err: `weir: ${storeFile(home)}: is not valid JSON`,
    });
    expect(readFileSync(storeFile(home), "utf8")).toBe("{");
  });
});
