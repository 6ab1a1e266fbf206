/** `weir receipts verify` and `weir receipts show`: they need the files and the public key, and no server. */
import { faultOf, receiptId } from "../../engine/receipts/record.ts";
import { parsedReceipt } from "../../engine/receipts/verify.ts";
import { loadConfig } from "../config.ts";
import { CommandFailure, type ExitCode } from "./failure.ts";
import { type Checked, checkReceipts, type PlacedProblem } from "./receipt-check.ts";
import { openReceipts, type ReceiptFiles } from "./receipt-files.ts";
import { type ConfigFlags, flagSettings } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

export interface VerifyFlags extends ConfigFlags {
  readonly key?: string;
  readonly expect?: readonly string[];
  readonly from?: string;
  readonly json?: boolean;
}

/** Exit code 1 where anything is wrong. */
export function verifyReceipts(path: string | undefined, flags: VerifyFlags, terminal: Terminal): ExitCode {
  const fromSeq = flags.from === undefined ? undefined : sequenceNumber(flags.from);
  const source = openReceipts(path ?? defaultFolder(flags), flags.key);
  const checked = checkReceipts(source, { ids: flags.expect ?? [], fromSeq });
  if (flags.json === true) {
    const { fingerprint, keyFile, files } = source;
    const names = files.map(({ name }) => name);
    const ok = checked.problemCount === 0;
    terminal.out(
      JSON.stringify({ ok, files: names, key: { file: keyFile, fingerprint }, ...checked }, undefined, 2),
    );
  } else print(checked, source, terminal);
  return checked.problemCount === 0 ? 0 : 1;
}

/** The record of a receipt that a client holds. Exit code 1 where it is not there, or not as it was signed. */
export function showReceipt(
  id: string,
  flags: VerifyFlags & { readonly in?: string },
  terminal: Terminal,
): ExitCode {
  if (!/^\d{1,15}-[0-9a-f]{16}$/.test(id))
    throw new CommandFailure(
      2,
      `${id} is not the id of a receipt, such as 17-0123456789abcdef (x-weir-receipt).`,
    );
  const source = openReceipts(flags.in ?? defaultFolder(flags), flags.key);
  for (const file of source.files) {
    for (const { text } of file.lines()) {
      const record = parsedReceipt(text);
      if (record === undefined || receiptId(record) !== id) continue;
      const fault = faultOf(record, source.publicKey);
      terminal.out(JSON.stringify(record, undefined, 2));
      terminal.err(
        fault === undefined
          ? `It is signed by the key ${source.fingerprint}. Whether its chain is whole says \`weir receipts verify\`.`
          : `weir: this record is not as it was signed: ${fault}.`,
      );
      return fault === undefined ? 0 : 1;
    }
  }
  throw new CommandFailure(1, `There is no receipt ${id} here: it is in files elsewhere, or it was removed.`);
}

function print(checked: Checked, source: ReceiptFiles, terminal: Terminal): void {
  const { records, first, last, start, end, notes, problems, problemCount } = checked;
  const span =
    first === undefined || last === undefined
      ? ""
      : `, ${first.seq} to ${last.seq}, from ${first.at} to ${last.at}`;
  const files = source.files.length === 1 ? "1 file" : `${source.files.length} files`;
  terminal.out(`${records} ${records === 1 ? "record" : "records"} in ${files}${span}`);
  terminal.out(`key    ${source.fingerprint} (${source.keyFile})`);
  terminal.out(`start  ${start}`);
  terminal.out(`end    ${end}`);
  for (const note of notes) terminal.out(`note   ${note}`);
  for (const problem of problems) terminal.err(formatPlaced(problem));
  if (problemCount > problems.length) terminal.err(`and ${problemCount - problems.length} more`);
  if (problemCount === 0)
    terminal.out("No record was removed, reordered or altered, as far as the lines above reach.");
  else
    terminal.err(
      `${problemCount} ${problemCount === 1 ? "problem" : "problems"}: do not rely on these receipts.`,
    );
}

/** `receipts.jsonl:17: record 17: its content was altered`. */
export function formatPlaced({ file, line, seq, problem }: PlacedProblem): string {
  const where = file === undefined ? [] : [`${file}:${line}`];
  return [...where, ...(seq === undefined ? [] : [`record ${seq}`]), problem].join(": ");
}

function sequenceNumber(text: string): number {
  const seq = Number(text);
  if (/^[1-9]\d{0,14}$/.test(text)) return seq;
  throw new CommandFailure(2, `--from ${text} is not the number of a record, such as 1.`);
}

const defaultFolder = (flags: ConfigFlags): string =>
  loadConfig({ file: flags.config, flags: flagSettings(flags) }).receiptsFolder;
