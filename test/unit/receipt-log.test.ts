/** The files of receipts: appended, rotated, recovered after a crash, refused where they were tampered with. */
import { createPublicKey } from "node:crypto";
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  HEAD_NAME,
  LOG_NAME,
  PUBLIC_KEY_NAME,
  ReceiptLog,
  readHead,
} from "../../engine/receipts/receipt-log.ts";
import { ReceiptVerifier, type Verified } from "../../engine/receipts/verify.ts";
import { decisionWith } from "../support/decisions.ts";

const DECISION = decisionWith({ rules: ["hr.lexicon"] });

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weir-receipts-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (fileBytesMax = 1_000_000): ReceiptLog =>
  new ReceiptLog({ folder, fileBytesMax, now: () => "2026-01-02T03:04:05.000Z" });
const publicKey = () => createPublicKey(readFileSync(join(folder, PUBLIC_KEY_NAME)));
const files = (): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".jsonl"))
    .sort((a, b) => (a === LOG_NAME ? 1 : b === LOG_NAME ? -1 : a < b ? -1 : 1));
function verifyAll(): Verified {
  const end = readHead(folder, publicKey());
  const verifier = new ReceiptVerifier(publicKey(), end === undefined ? {} : { end });
  for (const name of files())
    for (const line of readFileSync(join(folder, name), "utf8").split("\n").slice(0, -1)) verifier.add(line);
  return verifier.finish();
}

describe("the log", () => {
  test("appends records that verify, and goes on after it was closed", () => {
    for (const round of [1, 2]) {
      const log = open();
      expect(log.append(DECISION).seq).toBe(2 * round - 1);
      expect(log.append({ ...DECISION, class: "public", zone: "cloud" }).seq).toBe(2 * round);
      log.close();
    }
    expect(verifyAll()).toMatchObject({ records: 4, fromStart: true, problems: [] });
  });

  test("begins another file when one is full, in one chain", () => {
    const log = open(1_500);
    for (let i = 0; i < 12; i += 1) log.append(DECISION);
    log.close();
    expect(files().length).toBeGreaterThan(2);
    expect(verifyAll()).toMatchObject({ fromStart: true, problems: [] });
    const [first] = files();
    rmSync(join(folder, first as string));
    expect(verifyAll()).toMatchObject({ fromStart: false, problems: [] });
  });

  test("keeps its key from everybody else", () => {
    open().close();
    expect(statSync(join(folder, "receipts.key.pem")).mode & 0o077).toBe(0);
    expect(readFileSync(join(folder, PUBLIC_KEY_NAME), "utf8")).not.toContain("PRIVATE");
  });

  test("drops half a line that a power cut left, since nothing was done by it", () => {
    const log = open();
    log.append(DECISION);
    log.close();
    appendFileSync(join(folder, LOG_NAME), '{"v":1,"seq":2,"at":"20');
    const again = open();
    expect(again.append(DECISION).seq).toBe(2);
    again.close();
    expect(verifyAll()).toMatchObject({ records: 2, problems: [] });
  });

  test("takes a record that was written before its head was", () => {
    const log = open();
    log.append(DECISION);
    log.sync();
    const head = readFileSync(join(folder, HEAD_NAME));
    log.append(DECISION);
    log.close();
    writeFileSync(join(folder, HEAD_NAME), head);
    const again = open();
    expect(again.append(DECISION).seq).toBe(3);
    again.close();
    expect(verifyAll()).toMatchObject({ records: 3, problems: [] });
  });
});

describe("tampering while weir does not run", () => {
  beforeEach(() => {
    const log = open();
    for (let i = 0; i < 4; i += 1) log.append(DECISION);
    log.close();
  });
  const lines = (): string[] => readFileSync(join(folder, LOG_NAME), "utf8").split("\n").slice(0, -1);
  const put = (kept: readonly string[]): void =>
    writeFileSync(join(folder, LOG_NAME), kept.map((line) => `${line}\n`).join(""));

  test("records cut off at the end are found by verify, and weir does not start over them", () => {
    put(lines().slice(0, 2));
    expect(verifyAll().problems).toMatchObject([{ seq: 4, problem: expect.stringContaining("cut off") }]);
    expect(() => open()).toThrow("records were removed or replaced");
  });

  test("a last line that is no record is refused", () => {
    put([...lines().slice(0, 3), "oh well"]);
    expect(() => open()).toThrow("is no receipt");
  });

  test("a head by hand is refused", () => {
    const text = readFileSync(join(folder, HEAD_NAME), "utf8");
    writeFileSync(join(folder, HEAD_NAME), text.replace("0004", "0003"));
    expect(() => open()).toThrow();
    writeFileSync(join(folder, HEAD_NAME), text.replace(/\n[0-9a-f]/, "\ng"));
    expect(() => open()).toThrow("damaged or by another key");
  });
});
