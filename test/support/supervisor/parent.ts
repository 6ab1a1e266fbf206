/** Supervises `child.ts` in a process of its own, as main.ts does: what it says goes to standard error. */
import { join } from "node:path";
import { supervise } from "../../../server/supervisor.ts";

process.exitCode = await supervise({
  entry: join(import.meta.dirname, "child.ts"),
  args: process.argv.slice(2),
  clock: { now: () => performance.now(), wall: () => Date.now() },
  say: (line) => process.stderr.write(`${line}\n`),
});
