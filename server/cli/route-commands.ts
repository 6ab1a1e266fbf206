/** `weir route ...`: what it takes. What it does is loaded when it is called. */
import type { Command } from "commander";
import type { ExitCode } from "./failure.ts";
import type { ExplainFlags } from "./route.ts";
import { withConfig } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

export function addRoute(
  program: Command,
  { terminal }: { readonly terminal: Terminal },
  finish: (code: ExitCode) => void,
): void {
  const route = program.command("route").description("Where requests run.");
  withConfig(
    route
      .command("explain")
      .argument("[file]", "a chat or completion body as JSON (default: standard input)"),
  )
    .description("Say what class of data a request holds, where it would run, and which rules say so.")
    .option("--text <text>", "instead of a body: what a user says")
    .option("--label <class>", "as the header x-weir-class")
    .option("--source <name>", "as the header x-weir-source")
    .option("--agent <name>", "as the header x-weir-agent")
    .option("--key-policy <name>", "as a key with these rules of the policy")
    .option("--json", "as the server would answer")
    .action(async (file: string | undefined, flags: ExplainFlags) => {
      const { routeExplain } = await import("./route.ts");
      finish(await routeExplain(file, flags, terminal));
    });
}
