/**
 * The command line: which commands there are and what they take. Each command's own code is loaded when it is called, so
 * that `weir --help` answers at once. Exit codes: 0 done, 1 failed, 2 called or configured wrongly.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Argument, Command, CommanderError, Option } from "commander";
import type { Clock } from "../engine/core/clock.ts";
import { type ExitCode, endingOf } from "./cli/failure.ts";
import { addKeys } from "./cli/key-commands.ts";
import { addLedger } from "./cli/ledger-commands.ts";
import { addMeter } from "./cli/meter-commands.ts";
import type { ImportFlags } from "./cli/models.ts";
import { addPolicy } from "./cli/policy-commands.ts";
import { addReceipts } from "./cli/receipt-commands.ts";
import { addRoute } from "./cli/route-commands.ts";
import { type ConfigFlags, withConfig } from "./cli/settings.ts";
import type { Terminal } from "./cli/terminal.ts";

export interface CliPorts {
  readonly clock: Clock;
  readonly terminal: Terminal;
  /** The file that Node runs: the supervisor starts it again as the engine process. */
  readonly entry: string;
}

/** Resolves to the exit code; never rejects. `argv` without Node and the script. */
export async function runCli(argv: readonly string[], ports: CliPorts): Promise<number> {
  const { terminal } = ports;
  let exitCode: number = 0;
  const finish = (code: number): void => {
    exitCode = code;
  };
  const program = buildProgram(argv, ports, finish);
  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    // Commander has written its own message; help and version are no failure.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const { debugWanted } = await import("./config.ts");
    const ending = endingOf(error, debugWanted());
    for (const line of ending.lines) terminal.err(line);
    return ending.exitCode;
  }
}

function buildProgram(argv: readonly string[], ports: CliPorts, finish: (code: number) => void): Command {
  const { terminal, entry } = ports;
  const version = readVersion(entry);
  const program = new Command("weir")
    .description("Serves language models behind the OpenAI API, with continuous batching.")
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out(text.replace(/\n$/, "")),
      writeErr: (text) => terminal.err(text.replace(/\n$/, "").replace(/^error: /, "weir: ")),
    })
    .showHelpAfterError("`weir --help` lists the commands.")
    .showSuggestionAfterError();
  addServe(program, argv, ports, version, finish);
  addModels(program, ports, finish);
  addKeys(program, ports, finish);
  addPolicy(program, ports, finish);
  addReceipts(program, ports, finish);
  addRoute(program, ports, finish);
  addMeter(program, ports, finish);
  addLedger(program, ports, finish);
  addConfig(program, ports, finish);
  return program;
}

/** Also what `package.json` says to npm; one truth. */
function readVersion(entry: string): string {
  const file = join(entry, "..", "..", "package.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { readonly version: string }).version;
}

interface ServeFlags extends ConfigFlags {
  readonly supervise: boolean;
  readonly supervised?: boolean;
}

function addServe(
  program: Command,
  argv: readonly string[],
  { clock, terminal, entry }: CliPorts,
  version: string,
  finish: (code: number) => void,
): void {
  withConfig(program.command("serve").description("Serve the installed models until SIGTERM."))
    .option("--host <address>", "address to listen on (environment: HOST)")
    .option("--port <number>", "port to listen on (environment: PORT)")
    .option("--model <name>", "the model to load at start")
    .option("--log-level <level>", "silent, fatal, error, warn, info, debug or trace")
    .option("--no-supervise", "run in this process alone: a crash is then final")
    .addOption(new Option("--supervised", "set by the supervisor for its child").hideHelp())
    .action(async (flags: ServeFlags) => {
      if (flags.supervised === true || !flags.supervise) {
        const { serve } = await import("./cli/serve.ts");
        finish(await serve({ flags, supervised: flags.supervised === true, clock, terminal, version }));
      } else {
        const { supervise } = await import("./supervisor.ts");
        finish(await supervise({ entry, args: argv, clock, say: terminal.err }));
      }
    });
}

const ofImport = (command: Command): Command =>
  withConfig(command)
    .addOption(
      new Option("--quant <precision>", "weights; a GGUF keeps its own without it").choices([
        "q4",
        "q8",
        "f32",
      ]),
    )
    .addOption(new Option("--block <size>", "weights that share a scale").choices(["32", "64", "128"]))
    .addOption(
      new Option("--kv <precision>", "cached keys and values")
        .choices(["auto", "f32", "int8"])
        .default("auto"),
    )
    .option("--force", "replace an installed model of this name");

function addModels(program: Command, { clock, terminal }: CliPorts, finish: (code: ExitCode) => void): void {
  const models = program.command("models").description("Install, inspect and remove models.");
  const commands = () => import("./cli/models.ts");
  const ports = { clock, terminal };

  ofImport(
    models
      .command("import")
      .argument("<file>", "a GGUF file, a folder with safetensors, or an exported ONNX decoder"),
  )
    .description("Compile a model from a file and install it.")
    .requiredOption("--name <name>", "the name that clients send")
    .action(async (file: string, flags: ImportFlags & { readonly name: string }) => {
      finish(await (await commands()).importModel(file, flags, ports));
    });
  ofImport(models.command("pull").argument("<org/name[:revision]>", "a repository of the hub"))
    .description("Download a model from a Hugging-Face-compatible hub and install it.")
    .option("--name <name>", "the name that clients send (default: ORG/NAME)")
    .option("--file <file>", "which file, where a repository holds several GGUF files or exported graphs")
    .option("--parts <number>", "ranges downloaded at the same time")
    .action(async (reference: string, flags: ImportFlags) => {
      finish(await (await commands()).pullModel(reference, flags, ports));
    });
  withConfig(models.command("list").description("List the installed models."))
    .option("--json", "as JSON")
    .action(async (flags: ConfigFlags & { readonly json?: boolean }) => {
      finish((await commands()).listModels(flags, ports));
    });
  withConfig(models.command("show").argument("<name>").description("Show what is known of a model."))
    .option("--json", "the manifest as JSON")
    .action(async (name: string, flags: ConfigFlags & { readonly json?: boolean }) => {
      finish((await commands()).showModel(name, flags, ports));
    });
  withConfig(
    models
      .command("verify")
      .argument("[names...]")
      .description("Check the files of models against their digests."),
  ).action(async (names: readonly string[], flags: ConfigFlags) => {
    finish(await (await commands()).verifyModels(names, flags, ports));
  });
  withConfig(models.command("rm").argument("<name>").description("Remove an installed model.")).action(
    async (name: string, flags: ConfigFlags) => {
      finish((await commands()).removeModel(name, flags, ports));
    },
  );
}

function addConfig(program: Command, { clock, terminal }: CliPorts, finish: (code: ExitCode) => void): void {
  const config = program.command("config").description("Check the configuration, or show what is in force.");
  withConfig(
    config.command("check").addArgument(new Argument("[file]", "instead of the file that would be found")),
  )
    .description("Report every problem with its line; exit code 1 where there is one.")
    .action(async (file: string | undefined, flags: ConfigFlags) => {
      const { configCheck } = await import("./cli/config.ts");
      finish(await configCheck(file, flags, { clock, terminal }));
    });
  withConfig(config.command("show").description("Show every setting, its value and where it comes from."))
    .option("--json", "as JSON")
    .action(async (flags: ConfigFlags & { readonly json?: boolean }) => {
      const { configShow } = await import("./cli/config.ts");
      finish(configShow(flags.json === true, flags, terminal));
    });
}
