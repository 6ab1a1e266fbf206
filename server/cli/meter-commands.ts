/** `weir meter ...`: what it takes. What it does is loaded when it is called. */
import type { Command } from "commander";
import type { Clock } from "../../engine/core/clock.ts";
import { addEnergy } from "./energy-commands.ts";
import type { ExitCode } from "./failure.ts";
import type { PricesFlags } from "./meter-prices.ts";
import { withConfig } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

export function addMeter(
  program: Command,
  ports: { readonly clock: Clock; readonly terminal: Terminal },
  finish: (code: ExitCode) => void,
): void {
  const meter = program.command("meter").description("What queries cost in energy and money.");
  addEnergy(meter, ports, finish);
  withConfig(
    meter
      .command("prices")
      .argument("[file]", "a price book (default: the configured one, else the one that comes with weir)"),
  )
    .description("Show the prices of clouds in force, warn of old ones, and name models that have none.")
    .option("--at <date>", "those in force at another time, such as 2026-12-31 (UTC)")
    .option("--json", "as JSON")
    .action(async (file: string | undefined, flags: PricesFlags) => {
      const { meterPrices } = await import("./meter-prices.ts");
      finish(meterPrices(file, flags, ports));
    });
}
