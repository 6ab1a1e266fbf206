/** The entry: `node server/main.ts serve`, `npm start`, `npm run weir -- …`. Hands the real clock and terminal in. */
import type { Clock } from "../engine/core/clock.ts";
import { processTerminal } from "./cli/terminal.ts";
import { runCli } from "./cli.ts";

/** What a finished command left open (idle connections, timers) may not keep the process from ending. */
const LINGER_MS = 2000;

const clock: Clock = { now: () => performance.now(), wall: () => Date.now() };

process.exitCode = await runCli(process.argv.slice(2), {
  clock,
  terminal: processTerminal(),
  entry: import.meta.filename,
});
setTimeout(() => process.exit(), LINGER_MS).unref();
