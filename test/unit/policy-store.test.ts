/** Which policy is in force while its file changes, breaks, goes, comes back, or is swapped behind a symbolic link. */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { BUILT_IN_POLICY } from "../../server/policy/built-in.ts";
import { PolicyError } from "../../server/policy/policy-file.ts";
import { PolicyStore } from "../../server/policy/policy-store.ts";
import type { Explain } from "../../server/policy/probes.ts";

const LOOK_MS = 15;

let folder: string;
let file: string;
let log: string[];
let store: PolicyStore | undefined;
/** A test may hold up the probes of a policy that has such a key. */
let held: { readonly key: string; readonly until: Promise<void> } | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weir-policy-"));
  file = join(folder, "policy.yaml");
  log = [];
  held = undefined;
});
afterEach(() => {
  store?.close();
  store = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const say = (level: string) => (fields: object, message: string) =>
  void log.push(`${level} ${message} ${JSON.stringify(fields)}`);
const explain: Explain = async (_, policy) => {
  if (held !== undefined && policy.keys.has(held.key)) await held.until;
  return { class: "public", zone: policy.classes.public.zone, action: "serve", rules: ["a.rule"] };
};
async function open(path: string | undefined = file): Promise<PolicyStore> {
  store = await PolicyStore.open({ file: path, explain, log: { info: say("info"), error: say("error") } });
  return store;
}

const policyFor = (key: string): string => `version: 1\nkeys:\n  ${key}: {}\n`;
const inForce = (): string => [...(store?.current.policy.keys.keys() ?? [])].join();
const errors = (): string[] => log.filter((line) => line.startsWith("error"));
const becomes = (key: string): Promise<void> =>
  expect.poll(inForce, { timeout: 3000, interval: 5 }).toBe(key);
const failing =
  "version: 1\nkeys: { c: {} }\nprobes:\n  - { name: it leaves, request: { prompt: canary }, expect: { zone: cloud } }\n";

describe("at the start", () => {
  test("without a file the policy that comes with weir is in force, for good", async () => {
    store = await PolicyStore.open({
      file: undefined,
      explain,
      log: { info: say("info"), error: say("error") },
    });
    expect(store.current).toBe(BUILT_IN_POLICY);
    store.watch(LOOK_MS);
    expect(await store.reload()).toEqual({ kind: "unchanged", policy: BUILT_IN_POLICY.policy.hash });
  });

  test.each([
    ["is bad", "version: 2\n", "policy.yaml:1: version: "],
    [
      "has a probe that misses",
      failing,
      'policy.yaml:4: probe "it leaves": expected zone cloud, got class public, zone onprem',
    ],
    ["is not UTF-8", Buffer.from([0xff, 0xfe]), "is not UTF-8"],
    ["is too large", "#".repeat(1024 * 1024 + 1), "larger than"],
  ])("a file that %s stops it", async (_, content, message) => {
    writeFileSync(file, content);
    await expect(open()).rejects.toThrow(PolicyError);
    await expect(open()).rejects.toThrow(message);
  });

  test("a file that is missing, a folder, or a pipe stops it", async () => {
    await expect(open()).rejects.toThrow("cannot be read (ENOENT)");
    await expect(open(folder)).rejects.toThrow("is not a file");
    spawnSync("mkfifo", [file]);
    await expect(open()).rejects.toThrow("is not a file");
  });
});

describe("while it runs", () => {
  beforeEach(async () => {
    writeFileSync(file, policyFor("a"));
    await open();
  });

  test("SIGHUP brings a new policy into force, and says so", async () => {
    const before = store!.current.policy.hash;
    writeFileSync(file, policyFor("b"));
    const result = await store!.reload();
    expect(result).toEqual({ kind: "loaded", policy: store!.current.policy.hash });
    expect(inForce()).toBe("b");
    expect(log.at(-1)).toContain(`"before":"${before}"`);
    expect(await store!.reload()).toMatchObject({ kind: "unchanged" });
  });

  test.each([
    [
      "bad",
      () => writeFileSync(file, "version: 1\nclasses:\n  personal: { zone: cloud }\n"),
      "policy.yaml:3: classes.personal.zone",
    ],
    ["gone", () => rmSync(file), "cannot be read (ENOENT)"],
    ["missing its own probe", () => writeFileSync(file, failing), 'policy.yaml:4: probe \\"it leaves\\"'],
  ])("a file that is %s leaves the policy in force, and the log says why", async (_, spoil, why) => {
    const before = store!.current;
    spoil();
    expect(await store!.reload()).toMatchObject({ kind: "refused", policy: before.policy.hash });
    expect(store!.current).toBe(before);
    expect(errors()).toHaveLength(1);
    expect(errors()[0]).toContain(why);
    expect(log.join("\n")).not.toContain("canary");
    writeFileSync(file, policyFor("b"));
    expect(await store!.reload()).toMatchObject({ kind: "loaded" });
  });

  test("a probe that cannot be answered misses", async () => {
    const until = Promise.reject(new Error("canary"));
    until.catch(() => undefined);
    held = { key: "c", until };
    writeFileSync(file, failing);
    expect(await store!.reload()).toMatchObject({ kind: "refused" });
    expect(errors()[0]).toContain("got an error");
    expect(errors()[0]).not.toContain("canary");
  });

  test("a wish that comes while the file is being judged reads it once more", async () => {
    let go = (): void => undefined;
    const until = new Promise<void>((resolve) => {
      go = resolve;
    });
    held = { key: "b", until };
    const passing = (key: string) =>
      `${policyFor(key)}probes:\n  - { name: it stays, request: { prompt: x }, expect: { zone: onprem } }\n`;
    writeFileSync(file, passing("b"));
    const first = store!.reload();
    await sleep(30);
    expect(inForce()).toBe("a");
    writeFileSync(file, passing("c"));
    const later = [store!.reload(), store!.reload()];
    await sleep(30);
    go();
    expect(await first).toMatchObject({ kind: "loaded" });
    const [second, third] = await Promise.all(later);
    expect(second).toBe(third);
    expect(inForce()).toBe("c");
  });

  test("a store that was closed keeps what it has", async () => {
    writeFileSync(file, policyFor("b"));
    const reload = store!.reload();
    store!.close();
    await reload;
    expect(inForce()).toBe("a");
  });
});

describe("watching", () => {
  test("sees a file that is written, replaced by another, and put back older than before", async () => {
    writeFileSync(file, policyFor("a"));
    (await open()).watch(LOOK_MS);
    writeFileSync(file, policyFor("b"));
    await becomes("b");
    const draft = join(folder, ".policy.yaml.swp");
    writeFileSync(draft, policyFor("c"));
    renameSync(draft, file);
    await becomes("c");
    writeFileSync(draft, policyFor("d"));
    utimesSync(draft, 1, 1);
    renameSync(draft, file);
    await becomes("d");
  });

  test("sees a volume swapped behind its link, as Kubernetes does", async () => {
    for (const version of ["1", "2"]) {
      mkdirSync(join(folder, `..${version}`));
      writeFileSync(join(folder, `..${version}`, "policy.yaml"), policyFor(`v${version}`));
    }
    symlinkSync("..1", join(folder, "..data"));
    symlinkSync(join("..data", "policy.yaml"), file);
    (await open()).watch(LOOK_MS);
    expect(inForce()).toBe("v1");
    symlinkSync("..2", join(folder, "..data_tmp"));
    renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
    rmSync(join(folder, "..1"), { recursive: true });
    await becomes("v2");
  });

  test("says once what is wrong with a bad file, and once that a file is gone", async () => {
    writeFileSync(file, policyFor("a"));
    (await open()).watch(LOOK_MS);
    writeFileSync(file, "version: 3\n");
    await expect.poll(() => errors().length, { interval: 5 }).toBe(1);
    expect(await store!.reload()).toMatchObject({ kind: "refused" });
    expect(errors()).toHaveLength(2); // somebody asked
    utimesSync(file, 5, 5);
    await sleep(8 * LOOK_MS);
    expect(errors()).toHaveLength(2);
    rmSync(file);
    await expect.poll(() => errors().length, { interval: 5 }).toBe(3);
    await sleep(8 * LOOK_MS);
    expect(errors()).toHaveLength(3);
    expect(inForce()).toBe("a");
    writeFileSync(file, policyFor("b"));
    await becomes("b");
  });

  test("does not read a file that is still being written", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    try {
      writeFileSync(file, policyFor("a"));
      (await open()).watch(LOOK_MS);
      const look = async (): Promise<void> => {
        vi.advanceTimersByTime(LOOK_MS);
        await sleep(20);
      };
      for (let part = 0; part < 5; part += 1) {
        writeFileSync(file, `${policyFor("b")}#${"x".repeat(part)}`);
        await look();
        expect(inForce()).toBe("a");
      }
      await look();
      await becomes("b");
    } finally {
      vi.useRealTimers();
    }
  });
});
