/** `weir policy ...`: what it takes. What it does is loaded when it is called. */
import type { Command } from "commander";
import type { ExitCode } from "./failure.ts";
import type { PolicyFlags, ReplayFlags } from "./policy.ts";
import { withConfig } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

export function addPolicy(
  program: Command,
  { terminal }: { readonly terminal: Terminal },
  finish: (code: ExitCode) => void,
): void {
  const policy = program
    .command("policy")
    .description("Which data may go where: test it, show it, try it on the past.");
  const commands = () => import("./policy.ts");
  const ofFile = (name: string): Command =>
    withConfig(
      policy
        .command(name)
        .argument("[file]", "a policy (default: the configured one, else the one that comes with weir)"),
    );
  ofFile("test")
    .description("Run the policy's probes; exit code 1 where one misses, 2 where the file is bad.")
    .option("--json", "as JSON")
    .action(async (file: string | undefined, flags: PolicyFlags) => {
      finish(await (await commands()).policyTest(file, flags, terminal));
    });
  ofFile("show")
    .description("Show what the policy says, and its hash.")
    .option("--json", "as JSON")
    .action(async (file: string | undefined, flags: PolicyFlags) => {
      finish(await (await commands()).policyShow(file, flags, terminal));
    });
  ofFile("replay")
    .description("Say which past decisions the policy would change.")
    .requiredOption("--from <file|folder>", "receipts of the decisions")
    .option("--key <file>", "the public key of the receipts (default: receipts.pub.pem beside them)")
    .option("--list", "each decision that would change, by its receipt")
    .option("--unverified", "replay receipts that are not whole, too")
    .option("--json", "as JSON: a line each with --list, and one for the whole")
    .action(async (file: string | undefined, flags: ReplayFlags) => {
      finish(await (await commands()).policyReplay(file, flags, terminal));
    });
}
