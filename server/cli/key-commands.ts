/** `weir keys ...`: what it takes. What it does is loaded when it is called. */
import type { Command } from "commander";
import type { Clock } from "../../engine/core/clock.ts";
import type { ExitCode } from "./failure.ts";
import type { CreateFlags } from "./keys.ts";
import type { Terminal } from "./terminal.ts";

export function addKeys(
  program: Command,
  { clock, terminal }: { readonly clock: Clock; readonly terminal: Terminal },
  finish: (code: ExitCode) => void,
): void {
  const keys = program.command("keys").description("API keys for clients.");
  const commands = () => import("./keys.ts");
  keys
    .command("create")
    .description("Make a key and write it to standard output, this once; the store holds its hash.")
    .requiredOption("--name <name>", "whose key it is, for logs, metrics and lists")
    .option("--team <team>", "the team that its use is counted for")
    .option("--policy <policy>", "the rules for keys in policy.yaml that hold for it")
    .option("--class-floor <class>", "all its data are at least: public, internal, personal or restricted")
    .option("--models <names>", "models that it may ask for, with commas; without it all")
    .option("--scopes <scopes>", "what it may do, with commas: inference, metrics, admin", "inference")
    .option("--requests-per-minute <number>", "more are refused with 429")
    .option("--tokens-per-minute <number>", "of prompts and answers together; more are refused with 429")
    .action(async (flags: CreateFlags) => {
      finish(await (await commands()).createKey(flags, { clock, terminal }));
    });
  keys
    .command("list")
    .description("List the keys that were created, revoked ones too.")
    .option("--json", "as JSON")
    .action(async ({ json }: { readonly json?: boolean }) => {
      finish((await commands()).listKeys(json === true, terminal));
    });
  keys
    .command("revoke")
    .argument("<id|name>", "as `weir keys list` has it")
    .description("Refuse a key from now on; a running server does so within two seconds.")
    .action(async (wanted: string) => {
      finish(await (await commands()).revokeKey(wanted, { clock, terminal }));
    });
  keys
    .command("hash")
    .description("Print the line for WEIR_API_KEYS_FILE of the key on standard input, or of a new one.")
    .option("--name <name>", "whose key it is, for logs and metrics")
    .action(async ({ name }: { readonly name?: string }) => {
      const { keysHash } = await import("./keys-hash.ts");
      finish(await keysHash(name, terminal));
    });
}
