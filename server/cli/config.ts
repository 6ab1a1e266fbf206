/** `weir config check` and `weir config show`. */
import { resolve } from "node:path";
import type { Clock } from "../../engine/core/clock.ts";
import { LEAVES } from "../config/leaves.ts";
import { valueAt } from "../config/problems.ts";
import { formatProblem, type Inspection, inspectConfig, type Origin } from "../config.ts";
import { unpriced } from "../metering/backend-prices.ts";
import type { ExitCode } from "./failure.ts";
import { priceBookOf } from "./meter-prices.ts";
import { type ConfigFlags, flagSettings } from "./settings.ts";
import { startProblems } from "./start-problems.ts";
import type { Terminal } from "./terminal.ts";

export interface ConfigPorts {
  readonly clock: Clock;
  readonly terminal: Terminal;
}

/** Every problem, one a line; exit code 1 where there is one. `file` instead of the one that would be found. */
export async function configCheck(
  file: string | undefined,
  flags: ConfigFlags,
  { clock, terminal }: ConfigPorts,
): Promise<ExitCode> {
  const found = inspectConfig({ file: file ?? flags.config, flags: flagSettings(flags) });
  const fit = found.problems.length === 0;
  const problems = fit ? await startProblems(found) : found.problems;
  const without = fit ? unpriced(found.config, priceBookOf(found.config), clock.wall()) : [];
  for (const warning of [...found.warnings, ...without]) terminal.err(`warning: ${formatProblem(warning)}`);
  for (const problem of problems) terminal.err(formatProblem(problem));
  const name = found.config.file ?? "the configuration (no file, defaults and environment alone)";
  if (problems.length === 0) {
    terminal.out(`${name} is valid.`);
    return 0;
  }
  terminal.err(`${name} has ${problems.length} ${problems.length === 1 ? "problem" : "problems"}.`);
  return 1;
}

interface Row {
  readonly path: string;
  readonly value: unknown;
  readonly from: string;
}

/** What is in force, and where each value comes from. Secrets are named, never shown. */
export function configShow(asJson: boolean, flags: ConfigFlags, terminal: Terminal): ExitCode {
  const found = inspectConfig({ file: flags.config, flags: flagSettings(flags) });
  const rows = [...facts(found), ...LEAVES.map(({ path }) => row(found, path))];
  if (asJson) {
    const entries = rows.map(({ path, value, from }) => [path, { value: value ?? null, from }]);
    terminal.out(JSON.stringify(Object.fromEntries(entries), undefined, 2));
  } else {
    const cells = rows.map(({ path, value, from }) => [path, shown(value), from] as const);
    const width = (column: 0 | 1): number => Math.max(...cells.map((cell) => cell[column].length));
    const [first, second] = [width(0), width(1)];
    for (const [path, value, from] of cells) {
      terminal.out(`${path.padEnd(first)}  ${value.padEnd(second)}  ${from}`.trimEnd());
    }
  }
  for (const problem of [...found.warnings, ...found.problems]) terminal.err(formatProblem(problem));
  return found.problems.length === 0 ? 0 : 1;
}

function facts({ config }: Inspection): readonly Row[] {
  const secret = (path: string, value: unknown): readonly Row[] =>
    value === undefined ? [] : [{ path, value: "(set, not shown)", from: `environment ${path}` }];
  return [
    { path: "WEIR_HOME", value: config.home, from: "" },
    { path: "WEIR_CONFIG", value: config.file === undefined ? undefined : resolve(config.file), from: "" },
    ...secret("HF_TOKEN", config.hubToken),
    ...secret("HTTP_PROXY", config.proxy.http),
    ...secret("HTTPS_PROXY", config.proxy.https),
  ];
}

function row({ config, settings, origins }: Inspection, path: string): Row {
  const value = valueAt(settings, path);
  const resolved =
    path === "engine.threads"
      ? config.engine.threads
      : path === "models.memory_budget_bytes"
        ? config.models.memoryBudgetBytes
        : undefined;
  const shownValue = value === "auto" && resolved !== undefined ? `auto (${resolved})` : value;
  return { path, value: shownValue, from: fromText(origins.get(path)) };
}

const fromText = (origin: Origin | undefined): string =>
  origin === undefined || origin.kind === "default" ? "default" : `${origin.kind} ${origin.name}`;

const shown = (value: unknown): string =>
  value === undefined ? "(not set)" : typeof value === "string" ? value : JSON.stringify(value);
