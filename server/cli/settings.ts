/** The options that all commands with a configuration share, and how they become settings. */
import type { Command } from "commander";
import type { FlagSetting } from "../config.ts";
import { CommandFailure } from "./failure.ts";

export interface ConfigFlags {
  readonly config?: string;
  readonly host?: string;
  readonly port?: string;
  readonly model?: string;
  readonly logLevel?: string;
  readonly set?: readonly string[];
}

/** For options that may be repeated. */
export const collect = (value: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  value,
];

export const withConfig = (command: Command): Command =>
  command
    .option(
      "--config <file>",
      "configuration file (default: $WEIR_CONFIG, ./weir.yaml, $WEIR_HOME/weir.yaml)",
    )
    .option("--set <key=value>", "one setting, such as engine.rows_max=8; may be repeated", collect);

const NAMED: readonly (readonly [keyof ConfigFlags, string, string])[] = [
  ["host", "server.host", "--host"],
  ["port", "server.port", "--port"],
  ["model", "models.default", "--model"],
  ["logLevel", "log.level", "--log-level"],
];

/** `--set` first, so that an option with a name of its own wins over it. */
export function flagSettings(flags: ConfigFlags): readonly FlagSetting[] {
  const set = (flags.set ?? []).map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw new CommandFailure(2, `--set ${pair} is not KEY=VALUE, such as engine.rows_max=8.`);
    return { path: pair.slice(0, at), text: pair.slice(at + 1), flag: `--set ${pair.slice(0, at)}` };
  });
  const named = NAMED.flatMap(([name, path, flag]) => {
    const text = flags[name];
    return typeof text === "string" ? [{ path, text, flag }] : [];
  });
  return [...set, ...named];
}
