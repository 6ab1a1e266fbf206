/** `weir ledger ...`: what it takes. What it does is loaded when it is called. */
import { type Command, Option } from "commander";
import type { Clock } from "../../engine/core/clock.ts";
import type { ExitCode } from "./failure.ts";
import type { ExportFlags, VerifyFlags } from "./ledger.ts";
import type { RepriceFlags } from "./ledger-reprice.ts";
import { collect, withConfig } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

export function addLedger(
  program: Command,
  ports: { readonly clock: Clock; readonly terminal: Terminal },
  finish: (code: ExitCode) => void,
): void {
  const ledger = program.command("ledger").description("What every query took and cost, line by line.");
  const commands = () => import("./ledger.ts");
  withConfig(ledger.command("verify"))
    .description(
      "Compute the ledger's chain and sums again; exit code 1 where a line was changed or removed.",
    )
    .option(
      "--expect <seq-hash>",
      "a line that must be in it, as a run before said; may be repeated",
      collect,
    )
    .option("--json", "as JSON")
    .action(async (flags: VerifyFlags) => {
      finish(await (await commands()).verifyLedger(flags, ports.terminal));
    });
  withConfig(ledger.command("export"))
    .description("Write the lines of a stretch of time, oldest first.")
    .requiredOption("--from <time>", "the first instant, such as 2026-01-01 or 2026-01-01T08:00:00Z (UTC)")
    .option("--to <time>", "the first instant after it (default: now)")
    .addOption(new Option("--format <format>", "csv or jsonl").choices(["csv", "jsonl"]).default("csv"))
    .option("--out <file>", "where to (default: standard output); it must not be there yet")
    .action(async (flags: ExportFlags) => {
      finish(await (await commands()).exportLedger(flags, ports));
    });
  withConfig(ledger.command("reprice"))
    .description(
      "Price what clouds answered again, by the price book as it is now: differences become lines.",
    )
    .requiredOption("--from <time>", "the first instant, such as 2026-01-01 (UTC)")
    .requiredOption("--to <time>", "the first instant after it")
    .option("--prices <file>", "a price book (default: the one that comes with weir)")
    .option("--json", "as JSON")
    .action(async (flags: RepriceFlags) => {
      const { repriceLedger } = await import("./ledger-reprice.ts");
      finish(await repriceLedger(flags, ports.terminal));
    });
}
