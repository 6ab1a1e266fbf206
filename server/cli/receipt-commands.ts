/** `weir receipts ...`: what it takes. What it does is loaded when it is called. */
import type { Command } from "commander";
import type { ExitCode } from "./failure.ts";
import type { VerifyFlags } from "./receipts.ts";
import { collect, withConfig } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

export function addReceipts(
  program: Command,
  { terminal }: { readonly terminal: Terminal },
  finish: (code: ExitCode) => void,
): void {
  const receipts = program.command("receipts").description("Signed records of where requests ran.");
  const commands = () => import("./receipts.ts");
  const key = [
    "--key <file>",
    "the server's public key (default: receipts.pub.pem beside the receipts)",
  ] as const;
  withConfig(
    receipts
      .command("verify")
      .argument("[file|folder]", "receipts to check (default: those of this WEIR_HOME)"),
  )
    .description("Find any record that was removed, reordered or altered; exit code 1 where there is one.")
    .option(...key)
    .option("--expect <id>", "a receipt that must be among them (x-weir-receipt); may be repeated", collect)
    .option("--from <number>", "the record that they begin with, where older ones are kept elsewhere")
    .option("--json", "as JSON")
    .action(async (path: string | undefined, flags: VerifyFlags) => {
      finish((await commands()).verifyReceipts(path, flags, terminal));
    });
  withConfig(receipts.command("show").argument("<id>", "as in the header x-weir-receipt"))
    .description("Show one record and check its signature.")
    .option(...key)
    .option("--in <file|folder>", "where to look (default: the receipts of this WEIR_HOME)")
    .action(async (id: string, flags: VerifyFlags & { readonly in?: string }) => {
      finish((await commands()).showReceipt(id, flags, terminal));
    });
}
