/** The entry: `node server/main.ts serve`, `npm start`, `npm run weir -- …`. Hands the real clock and terminal in. */
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import type { Clock } from "../engine/core/clock.ts";
import { bugReport, reportLines } from "./bug-report.ts";
import { keepMemoryOutOfDumps } from "./core-dumps.ts";

/** What a finished command left open (idle connections, timers) may not keep the process from ending. */
const LINGER_MS = 2000;

keepMemoryOutOfDumps();
// Node itself would write the error's message and the line of code, and requests may stand in the first.
process.on("uncaughtException", (failure) => {
  for (const line of reportLines(bugReport(failure))) process.stderr.write(`weir: ${line}\n`);
  process.exit(1);
});

// Compiled code is kept beside the packages, by whoever may write there: a restart takes half the time. Hence the imports
// below, which must come after it.
enableCompileCache(join(import.meta.dirname, "..", "node_modules", ".cache", "weir"));
const { processTerminal } = await import("./cli/terminal.ts");
const { runCli } = await import("./cli.ts");

const clock: Clock = { now: () => performance.now(), wall: () => Date.now() };

process.exitCode = await runCli(process.argv.slice(2), {
  clock,
  terminal: processTerminal(),
  entry: import.meta.filename,
});
// The channel to a supervisor would hold the process open.
if (process.connected) process.disconnect();
setTimeout(() => process.exit(), LINGER_MS).unref();
