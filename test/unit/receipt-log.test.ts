/** The files of receipts: appended, rotated, recovered after a crash and a failing disk, refused where they were tampered with. */
import { createPublicKey } from "node:crypto";
import {
  appendFileSync,
  fsync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  HEAD_NAME,
  LOG_NAME,
  PUBLIC_KEY_NAME,
  ReceiptLogError,
  readHead,
} from "../../engine/receipts/chain-files.ts";
import { ReceiptLog } from "../../engine/receipts/receipt-log.ts";
import { ReceiptVerifier, type Verified } from "../../engine/receipts/verify.ts";
import { decisionWith } from "../support/decisions.ts";

// A disk fails where a test says so; otherwise it is the system's own.
vi.mock("node:fs", { spy: true });

const DECISION = decisionWith({ rules: ["hr.lexicon"] });

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weir-receipts-"));
});
afterEach(() => {
  vi.resetAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

const open = (fileBytesMax = 1_000_000): ReceiptLog =>
  new ReceiptLog({ folder, fileBytesMax, now: () => "2026-01-02T03:04:05.000Z" });
const at = (name: string): string => join(folder, name);
const publicKey = () => createPublicKey(readFileSync(at(PUBLIC_KEY_NAME)));
const files = (): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".jsonl"))
    .sort((a, b) => (a === LOG_NAME ? 1 : b === LOG_NAME ? -1 : a < b ? -1 : 1));
function verifyAll(): Verified {
  const end = readHead(folder, publicKey());
  const verifier = new ReceiptVerifier(publicKey(), end === undefined ? {} : { end });
  for (const name of files())
    for (const line of readFileSync(at(name), "utf8").split("\n").slice(0, -1)) verifier.add(line);
  return verifier.finish();
}
const broken = (code: string): never => {
  throw Object.assign(new Error(`${code}: the disk says no`), { code });
};
/** As a process that was killed leaves the files: nothing is forced, nothing is closed. */
const crash = (): void => undefined;

describe("the log", () => {
  test("appends records that verify, and goes on after it was closed", async () => {
    for (const round of [1, 2]) {
      const log = open();
      expect(log.append(DECISION).seq).toBe(2 * round - 1);
      expect(log.append({ ...DECISION, class: "public", zone: "cloud" }).seq).toBe(2 * round);
      await log.close();
      expect(() => log.append(DECISION)).toThrow("weir is stopping");
    }
    expect(verifyAll()).toMatchObject({ records: 4, fromStart: true, problems: [] });
  });

  test("verifies before it has a record", async () => {
    await open().close();
    expect(verifyAll()).toMatchObject({ records: 0, problems: [] });
  });

  test("begins another file when one is full, in one chain", async () => {
    const log = open(1_500);
    for (let i = 0; i < 12; i += 1) log.append(DECISION);
    await log.close();
    expect(files().length).toBeGreaterThan(2);
    expect(verifyAll()).toMatchObject({ fromStart: true, problems: [] });
    const [first] = files();
    rmSync(at(first as string));
    expect(verifyAll()).toMatchObject({ fromStart: false, problems: [] });
  });

  test("keeps its key from everybody else, and writes the public one again where it is lost or another", async () => {
    await open().close();
    expect(statSync(at("receipts.key.pem")).mode & 0o077).toBe(0);
    const before = readFileSync(at(PUBLIC_KEY_NAME), "utf8");
    expect(before).not.toContain("PRIVATE");
    for (const lose of [
      () => rmSync(at(PUBLIC_KEY_NAME)),
      () => writeFileSync(at(PUBLIC_KEY_NAME), "no key"),
    ]) {
      lose();
      await open().close();
      expect(readFileSync(at(PUBLIC_KEY_NAME), "utf8")).toBe(before);
    }
  });

  test("drops half a line that a power cut left, since nothing was done by it", async () => {
    const log = open();
    log.append(DECISION);
    await log.close();
    appendFileSync(at(LOG_NAME), '{"v":1,"seq":2,"at":"20');
    const again = open();
    expect(again.append(DECISION).seq).toBe(2);
    await again.close();
    expect(verifyAll()).toMatchObject({ records: 2, problems: [] });
  });

  test("takes a record that was written before its head was", async () => {
    const log = open();
    log.append(DECISION);
    const head = readFileSync(at(HEAD_NAME));
    log.append(DECISION);
    await log.close();
    writeFileSync(at(HEAD_NAME), head);
    const again = open();
    expect(again.append(DECISION).seq).toBe(3);
    await again.close();
    expect(verifyAll()).toMatchObject({ records: 3, problems: [] });
  });

  test("ends a rotation that the process did not live to end", async () => {
    const log = open(1);
    log.append(DECISION);
    log.append(DECISION);
    crash();
    // Record 2 closes the first file; here it is not yet renamed, and record 3 is not there.
    const [full] = files();
    writeFileSync(at(LOG_NAME), readFileSync(at(full as string)));
    rmSync(at(full as string));
    const { prev, sig } = JSON.parse(readFileSync(at(LOG_NAME), "utf8").split("\n")[1] as string);
    expect(prev).toMatch(/^[0-9a-f]{64}$/);
    const { hash } = JSON.parse(readFileSync(at(LOG_NAME), "utf8").split("\n")[1] as string);
    writeFileSync(at(HEAD_NAME), `${"2".padStart(16, "0")}\n${hash}\n${sig}\n`);
    const again = open(1_000_000);
    expect(again.append(DECISION).seq).toBe(3);
    await again.close();
    expect(files()).toEqual([full, LOG_NAME]);
    expect(verifyAll()).toMatchObject({ records: 3, problems: [] });
  });
});

describe("a disk that fails", () => {
  test("in the middle of a line leaves no half of it, once it has room again", async () => {
    const log = open();
    log.append(DECISION);
    vi.mocked(writeSync).mockImplementationOnce((file) => {
      appendFileSync(file, '{"v":1,"s');
      return broken("ENOSPC");
    });
    vi.mocked(ftruncateSync).mockImplementationOnce(() => broken("EIO"));
    expect(() => log.append(DECISION)).toThrow("ENOSPC");
    expect(() => log.append(DECISION)).toThrow("EIO");
    expect(log.append(DECISION).seq).toBe(2);
    await log.close();
    expect(verifyAll()).toMatchObject({ records: 2, problems: [] });
  });

  test("at the head never lets it fall two records behind, however often the process ends there", async () => {
    const actual = await vi.importActual<typeof import("node:fs")>("node:fs");
    let heads = 0;
    const write = (file: number, bytes: Buffer, from: number, length: number, position?: number): number => {
      // The head alone is written at a position.
      if (position !== undefined && heads-- === 0) broken("EIO");
      return actual.writeSync(file, bytes, from, length, position);
    };
    vi.mocked(writeSync).mockImplementation(write as typeof writeSync);
    for (const round of [1, 2, 3]) {
      // From the second round on there is the head of the round before to be written first.
      heads = round === 1 ? 0 : 1;
      const log = open();
      expect(() => log.append(DECISION)).toThrow("EIO");
      heads = 0;
      expect(() => log.append(DECISION)).toThrow("EIO");
      expect(readFileSync(at(LOG_NAME), "utf8").split("\n")).toHaveLength(round + 1);
      crash();
    }
    heads = -1;
    const log = open();
    expect(log.append(DECISION).seq).toBe(4);
    await log.close();
    expect(verifyAll()).toMatchObject({ records: 4, problems: [] });
  });

  test("where a full file cannot be renamed refuses each request, and none any more once it can be", async () => {
    const log = open(1);
    log.append(DECISION);
    mkdirSync(at("receipts-000000000002.jsonl"));
    const before = readFileSync(at(LOG_NAME));
    for (let i = 0; i < 3; i += 1) {
      expect(() => log.append(DECISION)).toThrow(ReceiptLogError);
      expect(() => log.append(DECISION)).toThrow(/another could not be begun \(.*is there already\)/);
    }
    // Nothing but the record that closes the file was written, and that once.
    expect(readFileSync(at(LOG_NAME), "utf8").split("\n")).toHaveLength(3);
    expect(readFileSync(at(LOG_NAME)).subarray(0, before.length).equals(before)).toBe(true);
    rmdirSync(at("receipts-000000000002.jsonl"));
    expect(log.append(DECISION).seq).toBe(3);
    await log.close();
    expect(verifyAll()).toMatchObject({ records: 3, problems: [] });
  });

  test("where another file cannot be opened writes into no other file meanwhile, and goes on once it can be", async () => {
    const log = open(1);
    log.append(DECISION);
    vi.mocked(openSync).mockImplementationOnce(() => broken("EMFILE"));
    expect(() => log.append(DECISION)).toThrow(/another could not be begun \(EMFILE/);
    // Whoever opens a file now gets the lowest number that is free: were it the log's, the log would write into it.
    const other = openSync(at("other"), "w+");
    vi.mocked(openSync).mockImplementationOnce(() => broken("EMFILE"));
    expect(() => log.append(DECISION)).toThrow("EMFILE");
    expect(log.append(DECISION).seq).toBe(3);
    expect(readFileSync(other, "utf8")).toBe("");
    await log.close();
    expect(verifyAll()).toMatchObject({ records: 3, problems: [] });
    // As after a crash in between: the full file is renamed, another one is not there.
    const [full] = files();
    expect(full).toBe("receipts-000000000002.jsonl");
  });

  test("that cannot force to disk refuses from then on, and ends no process", async () => {
    const log = open();
    log.append(DECISION);
    vi.mocked(fsync).mockImplementationOnce((_file, done) => done(new Error("EIO: i/o error, fsync")));
    await log.sync();
    for (let i = 0; i < 2; i += 1)
      expect(() => log.append(DECISION)).toThrow(/could not be forced to disk \(EIO.*start it/);
    await log.close();
    const again = open();
    expect(again.append(DECISION).seq).toBe(2);
    await again.close();
  });

  test("that is slow holds nobody up: one force is on its way, and the next one takes all that came meanwhile", async () => {
    const log = open();
    log.append(DECISION);
    const waiting: (() => void)[] = [];
    const actual = await vi.importActual<typeof import("node:fs")>("node:fs");
    vi.mocked(fsync).mockImplementation((file, done) => void waiting.push(() => actual.fsync(file, done)));
    const first = log.sync();
    for (let i = 0; i < 5; i += 1) {
      expect(log.append(DECISION).seq).toBe(2 + i);
      void log.sync();
      expect(waiting).toHaveLength(1);
    }
    const closed = log.close();
    const timer = setInterval(() => waiting.shift()?.(), 1);
    await Promise.all([first, closed]);
    clearInterval(timer);
    // The file and the head, twice.
    expect(vi.mocked(fsync)).toHaveBeenCalledTimes(4);
    expect(verifyAll()).toMatchObject({ records: 6, problems: [] });
  });
});

describe("tampering while weir does not run", () => {
  beforeEach(async () => {
    const log = open();
    for (let i = 0; i < 4; i += 1) log.append(DECISION);
    await log.close();
  });
  const lines = (): string[] => readFileSync(at(LOG_NAME), "utf8").split("\n").slice(0, -1);
  const put = (kept: readonly string[]): void =>
    writeFileSync(at(LOG_NAME), kept.map((line) => `${line}\n`).join(""));

  test("records cut off at the end are found by verify, and weir does not start over them", () => {
    put(lines().slice(0, 2));
    expect(verifyAll().problems).toMatchObject([{ seq: 4, problem: expect.stringContaining("cut off") }]);
    expect(() => open()).toThrow("records were removed or replaced");
  });

  test.each([
    ["no record", () => "oh well"],
    ["null", () => "null"],
    ["the next one, which nobody signed", (last: string) => forged(last)],
  ])("a last line that is %s is refused", (_, line) => {
    put([...lines().slice(0, 4), line(lines()[3] as string)]);
    expect(() => open()).toThrow("is no receipt that was signed with this folder's key");
  });
  function forged(last: string): string {
    const { hash, ...record } = JSON.parse(last);
    return JSON.stringify({ ...record, seq: record.seq + 1, prev: hash, hash: "0".repeat(64) });
  }

  test("a head by hand is refused", () => {
    const text = readFileSync(at(HEAD_NAME), "utf8");
    writeFileSync(at(HEAD_NAME), text.replace("0004", "0003"));
    expect(() => open()).toThrow();
    writeFileSync(at(HEAD_NAME), text.replace(/\n[0-9a-f]/, "\ng"));
    expect(() => open()).toThrow("damaged or by another key");
    writeFileSync(at(HEAD_NAME), "");
    expect(() => open()).toThrow("damaged or by another key");
  });

  test.each<[string, readonly string[], string]>([
    ["the head", [HEAD_NAME], "receipts.head is gone"],
    ["the head and the live file", [HEAD_NAME, LOG_NAME], "receipts.head is gone"],
    [
      "the live file",
      [LOG_NAME],
      "the chain ends with record 4, and there is no receipts-000000000004.jsonl",
    ],
    ["the key", ["receipts.key.pem"], "receipts.key.pem is gone, but there are receipts"],
  ])("a chain does not begin anew without a word where its file is removed: %s", (_, names, what) => {
    for (const name of names) rmSync(at(name));
    const before = readdirSync(folder).sort();
    for (let i = 0; i < 2; i += 1) {
      expect(() => open()).toThrow(ReceiptLogError);
      expect(() => open()).toThrow(what);
    }
    // The evidence is left as it was found.
    expect(
      readdirSync(folder)
        .filter((name) => name !== LOG_NAME)
        .sort(),
    ).toEqual(before.filter((name) => name !== LOG_NAME));
  });

  test("a live file that is gone is one that was not begun yet only where the last closed file ends at the head", async () => {
    const log = open(1);
    log.append(DECISION);
    await log.close();
    const [full = ""] = files();
    const { hash, sig, seq } = JSON.parse(readFileSync(at(full), "utf8").split("\n").at(-2) as string);
    writeFileSync(at(HEAD_NAME), `${String(seq).padStart(16, "0")}\n${hash}\n${sig}\n`);
    for (const lose of [() => rmSync(at(LOG_NAME)), () => writeFileSync(at(LOG_NAME), "")]) {
      lose();
      await open().close();
      expect(verifyAll()).toMatchObject({ records: 5, problems: [] });
    }
    const closed = readFileSync(at(full), "utf8").split("\n");
    writeFileSync(at(full), `${closed.slice(0, -2).join("\n")}\n`);
    expect(() => open()).toThrow("records were removed while weir did not run");
  });

  test("what a first start that broke off left is no chain", async () => {
    for (const name of ["receipts.key.pem", LOG_NAME, PUBLIC_KEY_NAME]) rmSync(at(name));
    const log = open();
    expect(log.append(DECISION).seq).toBe(1);
    await log.close();
    expect(verifyAll()).toMatchObject({ records: 1, problems: [] });
  });
});
