/** `weir meter probe` and `calibrate`: what they take. */
import type { Command } from "commander";
import type { Clock } from "../../engine/core/clock.ts";
import type { ExitCode } from "./failure.ts";
import type { CalibrateFlags, ProbeFlags } from "./meter.ts";
import { withConfig } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

/** To the group `meter`. */
export function addEnergy(
  meter: Command,
  ports: { readonly clock: Clock; readonly terminal: Terminal },
  finish: (code: ExitCode) => void,
): void {
  const commands = () => import("./meter.ts");
  withConfig(meter.command("probe"))
    .description("Show what this machine offers to tell how much energy it takes, and what is in use.")
    .option("--seconds <number>", "how long to look (default: 1)")
    .option("--json", "as JSON")
    .action(async (flags: ProbeFlags) => {
      finish(await (await commands()).meterProbe(flags, ports));
    });
  withConfig(meter.command("calibrate"))
    .description("Fit the model of this machine's power, from its counter or from a meter at the wall.")
    .option("--from-counter", "load the machine and read its counter (default)")
    .option("--watts <IDLE,HALF,FULL>", "what a meter at the wall showed at three loads")
    .option("--hold", "only hold each load while you read your meter; nothing is written")
    .option("--seconds <number>", "how long each load is held (default: 10; with --hold 30)")
    .action(async (flags: CalibrateFlags) => {
      finish(await (await commands()).meterCalibrate(flags, ports));
    });
}
