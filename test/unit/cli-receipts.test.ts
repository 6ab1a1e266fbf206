/** `weir receipts verify` and `show`: over whole folders and single files, as they were left and as somebody changed them. */
import {
  appendFileSync,
  copyFileSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HEAD_NAME, LOG_NAME, PUBLIC_KEY_NAME } from "../../engine/receipts/chain-files.ts";
import { ReceiptLog } from "../../engine/receipts/receipt-log.ts";
import { type Receipt, receiptId } from "../../engine/receipts/record.ts";
import { checkReceipts } from "../../server/cli/receipt-check.ts";
import { openReceipts } from "../../server/cli/receipt-files.ts";
import { runIn } from "../support/commands.ts";
import { decisionWith } from "../support/decisions.ts";

let home: string;
let folder: string;
let ids: string[];
let log: ReceiptLog;
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "weir-receipts-"));
  folder = join(home, "receipts");
  ids = [];
  log = new ReceiptLog({ folder, fileBytesMax: 2_500, now: () => "2026-01-02T03:04:05.000Z" });
  for (let i = 0; i < 12; i += 1) ids.push(append());
  await log.sync();
});
afterEach(async () => {
  await log.close();
  rmSync(home, { recursive: true, force: true });
});

const append = (): string => receiptId(log.append(decisionWith({})));
const weir = (...argv: string[]) => runIn(home, argv);
const verify = (...argv: string[]) => weir("receipts", "verify", ...argv);
const closed = (): string[] =>
  readdirSync(folder)
    .filter((name) => /-\d+\.jsonl$/.test(name))
    .sort();
const at = (name: string): string => join(folder, name);
const linesOf = (name: string): string[] => readFileSync(at(name), "utf8").split("\n").slice(0, -1);
const put = (name: string, lines: readonly string[]): void =>
  writeFileSync(at(name), lines.map((line) => `${line}\n`).join(""));

describe("verify", () => {
  test("says of a whole folder what it holds, by which key, and that nothing is missing", async () => {
    expect(closed().length).toBeGreaterThan(1);
    const { code, out, err } = await verify(folder);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const last = 12 + closed().length;
    expect(out).toContain(
      `${last} records in ${closed().length + 1} files, 1 to ${last}, from 2026-01-02T03:04:05`,
    );
    expect(out).toMatch(/key +SHA256:[A-Za-z0-9+/]{43} \(.*receipts\.pub\.pem\)/);
    expect(out).toContain("start  the very first record");
    expect(out).toContain("end    as the signed receipts.head has it");
    // The folder of this WEIR_HOME, and JSON.
    expect(JSON.parse((await verify("--json")).out)).toMatchObject({ ok: true, records: last, problems: [] });
  });

  test.each([
    ["the first record", (lines: string[]) => lines.slice(1)],
    ["one in between", (lines: string[]) => lines.toSpliced(1, 1)],
    ["the last ones", (lines: string[]) => lines.slice(0, -1)],
  ])("finds %s removed, in any file, given the folder or the file", async (_, change) => {
    for (const name of [...closed(), LOG_NAME]) {
      const before = readFileSync(at(name));
      put(name, change(linesOf(name)));
      expect((await verify(folder)).code, `${name} in its folder`).toBe(1);
      expect((await verify(at(name))).code, name).toBe(1);
      writeFileSync(at(name), before);
    }
    expect((await verify(folder)).code).toBe(0);
  });

  test("finds a closed file removed, and the last one emptied", async () => {
    const [first = ""] = closed();
    const bytes = readFileSync(at(first));
    rmSync(at(first));
    expect((await verify(folder)).err).toMatch(/records 1 to \d+ are not here/);
    writeFileSync(at(first), bytes);
    rmSync(at(LOG_NAME));
    expect((await verify(folder)).err).toContain("records were cut off or replaced");
  });

  test("names file and line of what was altered or put in another order", async () => {
    const [, second = ""] = closed();
    const lines = linesOf(second);
    put(second, lines.with(0, lines[0]!.replace('"zone":"onprem"', '"zone":"cloud"')));
    const { code, err } = await verify(folder);
    expect(code).toBe(1);
    expect(err).toMatch(new RegExp(`^${second}:1: record \\d+: its content was altered`, "m"));
    expect(err).toContain("1 problem: do not rely on these receipts.");
    put(second, [...lines.slice(0, -2).reverse(), ...lines.slice(-2)]);
    const { problems, ok } = JSON.parse((await verify("--json")).out);
    expect(ok).toBe(false);
    expect(problems).toContainEqual(expect.objectContaining({ file: second, line: 1 }));
  });

  test("takes one file of the chain by the files beside it, and says what it leans on", async () => {
    const [first = "", second = ""] = closed();
    expect((await verify(at(first))).out).toContain("start  the very first record");
    const two = await verify(at(second));
    expect(two).toMatchObject({ code: 0, err: "" });
    expect(two.out).toContain(`start  goes on from ${first}, which was not checked itself`);
    expect(two.out).toContain("end    the record that closes the file");
    expect((await verify(at(LOG_NAME))).code).toBe(0);
  });

  test("says of a file by itself what cannot be known, and wants a word where it does not begin at the beginning", async () => {
    const [first = "", second = ""] = closed();
    const key = ["--key", at(PUBLIC_KEY_NAME)];
    const copy = join(home, "copy.jsonl");
    copyFileSync(at(first), copy);
    writeFileSync(copy, `${linesOf(first).slice(0, 2).join("\n")}\n`);
    const cut = await verify(copy, ...key);
    expect(cut.code).toBe(0);
    expect(cut.out).toContain(
      "end    cannot be known from this file alone: records may have been cut off behind 2",
    );
    copyFileSync(at(second), copy);
    const start = (JSON.parse(linesOf(second)[0]!) as Receipt).seq;
    const late = await verify(copy, ...key);
    expect(late.code).toBe(1);
    expect(late.err).toContain(`records 1 to ${start - 1} are not here`);
    expect(late.err).toContain(`--from ${start}`);
    expect(await verify(copy, ...key, "--from", `${start}`)).toMatchObject({ code: 0, err: "" });
    expect((await verify(copy, ...key, "--from", `${start - 1}`)).err).toContain(`begins with ${start}`);
  });

  test("asks for receipts that clients hold", async () => {
    expect(await verify("--expect", ids[0]!, "--expect", ids[11]!)).toMatchObject({ code: 0 });
    const { code, err } = await verify("--expect", "3-0123456789abcdef");
    expect({ code, err }).toMatchObject({
      code: 1,
      err: expect.stringContaining("3-0123456789abcdef is not among"),
    });
  });

  test("does not take another key, a head of another key, or a missing one", async () => {
    const other = mkdtempSync(join(tmpdir(), "weir-other-"));
    await new ReceiptLog({ folder: other, fileBytesMax: 2_500, now: () => "" }).close();
    expect((await verify(folder, "--key", join(other, PUBLIC_KEY_NAME))).err).toContain(
      "signature is not by this key",
    );
    expect(await verify(folder, "--key", at(LOG_NAME))).toMatchObject({
      code: 2,
      err: expect.stringContaining("cannot be read as a public key"),
    });
    rmSync(other, { recursive: true });
    const head = readFileSync(at(HEAD_NAME), "utf8");
    writeFileSync(at(HEAD_NAME), head.replace("\n", "\nf").slice(0, -1));
    expect((await verify(folder)).err).toContain("damaged or by another key");
    rmSync(at(HEAD_NAME));
    expect((await verify(folder)).err).toContain("receipts.head is missing");
  });

  test("lets a line be written, and a file be closed, while it reads", async () => {
    appendFileSync(at(LOG_NAME), '{"v":1,"seq":');
    expect(await verify(folder)).toMatchObject({
      code: 0,
      out: expect.stringContaining("ends within a line"),
    });
    put(LOG_NAME, linesOf(LOG_NAME));

    const source = openReceipts(folder, undefined);
    const files = closed().length;
    while (closed().length === files) append();
    const checked = checkReceipts(source, { ids: [], fromSeq: undefined });
    expect(checked).toMatchObject({ problems: [] });
    expect(checked.records).toBeGreaterThanOrEqual(12 + files);
  });

  test("reads a file once that is closed, and so renamed, between being opened and being listed", async () => {
    linkSync(at(LOG_NAME), at("receipts-000000000099.jsonl"));
    expect(await verify(folder)).toMatchObject({ code: 0, err: "" });
  });

  test("names a line that is far too long for a receipt", async () => {
    writeFileSync(at(LOG_NAME), `${"x".repeat(3_000_000)}\n`, { flag: "a" });
    const { err } = await verify(at(LOG_NAME));
    expect(err).toMatch(/receipts\.jsonl:\d+: it is not a receipt/);
  });

  test("needs receipts", async () => {
    expect(await verify(join(home, "nowhere"))).toMatchObject({
      code: 2,
      err: expect.stringContaining("no "),
    });
    expect(await verify("--from", "none")).toMatchObject({ code: 2 });
  });
});

describe("show", () => {
  test("prints the record of a receipt, in whatever file it is", async () => {
    for (const id of [ids[0]!, ids[11]!]) {
      const { code, out, err } = await weir("receipts", "show", id);
      expect(code).toBe(0);
      expect(receiptId(JSON.parse(out) as Receipt)).toBe(id);
      expect(err).toContain("It is signed by the key SHA256:");
    }
  });

  test("says where it is gone, altered, or no receipt's id", async () => {
    expect(await weir("receipts", "show", "3-0123456789abcdef")).toMatchObject({
      code: 1,
      err: expect.stringContaining("There is no receipt"),
    });
    expect(await weir("receipts", "show", "../x")).toMatchObject({ code: 2 });
    const [first = ""] = closed();
    const lines = linesOf(first);
    put(first, lines.with(0, lines[0]!.replace('"zone":"onprem"', '"zone":"cloud"')));
    expect(await weir("receipts", "show", ids[0]!)).toMatchObject({
      code: 1,
      err: expect.stringContaining("not as it was signed"),
    });
  });
});
