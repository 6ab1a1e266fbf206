/** `weir ledger verify` and `weir ledger export`: over the file in WEIR_HOME, also while a server writes it. */
import { closeSync, existsSync, fsyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../engine/core/clock.ts";
import type { ChainPoint, Recorded, Verification } from "../../engine/metering/ledger/ledger.ts";
import { LEDGER_NAME, SqliteLedger } from "../../engine/metering/ledger/sqlite.ts";
import { loadConfig } from "../config.ts";
import { CommandFailure, type ExitCode } from "./failure.ts";
import { type ConfigFlags, flagSettings } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

export interface VerifyFlags extends ConfigFlags {
  readonly expect?: readonly string[];
  readonly json?: boolean;
}

export interface ExportFlags extends ConfigFlags {
  readonly from: string;
  readonly to?: string;
  readonly format: "csv" | "jsonl";
  readonly out?: string;
}

/** Exit code 1 where anything is wrong. */
export async function verifyLedger(flags: VerifyFlags, terminal: Terminal): Promise<ExitCode> {
  const expect = (flags.expect ?? []).map(pointOf);
  const { file, ledger } = openLedger(flags);
  try {
    const checked = await ledger.verify(expect);
    if (flags.json === true) terminal.out(JSON.stringify({ file, ...checked }, undefined, 2));
    else print(file, checked, terminal);
    return checked.ok ? 0 : 1;
  } finally {
    await ledger.close();
  }
}

function print(file: string, checked: Verification, terminal: Terminal): void {
  const { lines, first, last, anchor, problems, problemCount } = checked;
  const span = last === undefined ? "" : `, ${first} to ${last.seq}`;
  terminal.out(`${lines} ${lines === 1 ? "line" : "lines"}${span} in ${file}`);
  if (anchor !== undefined)
    terminal.out(
      `start  after line ${anchor.seq}: those up to it were compacted, and of days before ` +
        `${isoOf(anchor.daysBefore).slice(0, 10)} only sums are kept`,
    );
  if (last !== undefined)
    terminal.out(
      `end    ${last.seq}-${last.hash} (note it: --expect finds lines that were cut off after it)`,
    );
  for (const problem of problems) terminal.err(problem);
  if (problemCount > problems.length) terminal.err(`and ${problemCount - problems.length} more`);
  if (problemCount === 0)
    terminal.out("No line was removed, reordered or altered, and all sums are those of the lines.");
  else
    terminal.err(
      `${problemCount} ${problemCount === 1 ? "problem" : "problems"}: do not rely on this ledger.`,
    );
}

/** Without persons: a group of lines that names them would go round what keeps single people out of reports. */
export async function exportLedger(
  flags: ExportFlags,
  { clock, terminal }: { readonly clock: Clock; readonly terminal: Terminal },
): Promise<ExitCode> {
  const from = timeOf("--from", flags.from);
  const to = flags.to === undefined ? Math.floor(clock.wall()) : timeOf("--to", flags.to);
  if (from >= to) throw new CommandFailure(2, "--from must be before --to.");
  const { ledger } = openLedger(flags);
  try {
    const sink =
      flags.out === undefined ? { line: terminal.out, close: () => undefined } : fileSink(flags.out);
    const csv = flags.format === "csv";
    try {
      if (csv) sink.line(COLUMNS.map(([name]) => name).join(","));
      for await (const recorded of ledger.export(from, to)) {
        const fields = COLUMNS.map(([name, of]) => [name, of(recorded)] as const);
        sink.line(
          csv
            ? fields.map(([, value]) => cellOf(value)).join(",")
            : JSON.stringify(Object.fromEntries(fields)),
        );
      }
    } finally {
      sink.close();
    }
    const { daysBefore } = await ledger.usage({ from, to });
    if (from < daysBefore)
      terminal.err(
        `weir: of days before ${isoOf(daysBefore).slice(0, 10)} there are no lines any more, only sums.`,
      );
    return 0;
  } finally {
    await ledger.close();
  }
}

type Value = string | number | boolean | undefined;

const COLUMNS: readonly (readonly [string, (recorded: Recorded) => Value])[] = [
  ["seq", ({ seq }) => seq],
  ["at", ({ entry }) => isoOf(entry.at)],
  ["request", ({ entry }) => entry.request],
  ["choice", ({ entry }) => entry.choice],
  ["attempt", ({ entry }) => entry.attempt],
  ["line", ({ entry }) => entry.line],
  ["corrects", ({ corrects }) => corrects],
  ["zone", ({ entry }) => entry.zone],
  ["backend", ({ entry }) => entry.backend],
  ["model", ({ entry }) => entry.model],
  ["class", ({ entry }) => entry.class],
  ["team", ({ entry }) => entry.team],
  ["key", ({ entry }) => entry.key],
  ["agent", ({ entry }) => entry.agent],
  ["outcome", ({ entry }) => entry.outcome],
  ["counted", ({ counted }) => counted],
  ["prompt_tokens", ({ entry }) => entry.promptTokens],
  ["cached_tokens", ({ entry }) => entry.cachedTokens],
  ["completion_tokens", ({ entry }) => entry.completionTokens],
  ["estimated", ({ entry }) => entry.estimated],
  ["energy_uj", ({ entry }) => entry.energy.uj],
  ["energy_low_uj", ({ entry }) => entry.energy.lowUj],
  ["energy_high_uj", ({ entry }) => entry.energy.highUj],
  ["energy_tier", ({ entry }) => entry.energy.tier],
  ["cost_price_microusd", ({ entry }) => entry.cost.price],
  ["cost_energy_microusd", ({ entry }) => entry.cost.energy],
  ["cost_hardware_microusd", ({ entry }) => entry.cost.hardware],
  ["priced", ({ entry }) => entry.priced],
  ["queue_ms", ({ entry }) => entry.queueMs],
  ["prefill_ms", ({ entry }) => entry.prefillMs],
  ["decode_ms", ({ entry }) => entry.decodeMs],
  ["hash", ({ hash }) => hash],
];

/** Ids come from clients: what a spreadsheet would take for a formula gets an apostrophe before it. */
function cellOf(value: Value): string {
  if (typeof value !== "string") return value === undefined ? "" : String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** For the owner alone. Throws CommandFailure where the file is there. */
function fileSink(path: string): { line(text: string): void; close(): void } {
  if (existsSync(path))
    throw new CommandFailure(1, `${path} is there already; name another file, or remove it.`);
  const file = openSync(path, "wx", 0o600);
  let waiting = "";
  const write = (): void => {
    const bytes = Buffer.from(waiting);
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    waiting = "";
  };
  return {
    line: (text) => {
      waiting += `${text}\n`;
      if (waiting.length > 65_536) write();
    },
    close: () => {
      write();
      fsyncSync(file);
      closeSync(file);
    },
  };
}

/** Throws CommandFailure where there is none. */
export function openLedger(flags: ConfigFlags): { readonly file: string; readonly ledger: SqliteLedger } {
  const { home } = loadConfig({ file: flags.config, flags: flagSettings(flags) });
  const file = join(home, LEDGER_NAME);
  if (!existsSync(file))
    throw new CommandFailure(
      1,
      `There is no ledger at ${file}: no server has metered anything in this WEIR_HOME.`,
    );
  return { file, ledger: new SqliteLedger({ file, syncEveryMs: 1000 }) };
}

function pointOf(text: string): ChainPoint {
  const [, seq, hash] = /^([1-9]\d{0,14})-([0-9a-f]{16,64})$/.exec(text) ?? [];
  if (seq !== undefined && hash !== undefined) return { seq: Number(seq), hash };
  throw new CommandFailure(2, `--expect ${text} is no end of a ledger, such as 17-0123456789abcdef.`);
}

/** A day, or an instant with its zone; without one it is UTC. */
export function timeOf(flag: string, text: string): number {
  const form = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})?)?$/.exec(text);
  const time = Date.parse(form !== null && text.includes("T") && form[1] === undefined ? `${text}Z` : text);
  if (form !== null && Number.isFinite(time) && time >= 0) return time;
  throw new CommandFailure(2, `${flag} ${text} is no time, such as 2026-01-01 or 2026-01-01T08:00:00Z.`);
}

const isoOf = (time: number): string => new Date(time).toISOString();
