/**
 * A stand-in for the engine process. Arguments: a folder to leave a mark of each start in, then what to do in the first,
 * second, ... start (the last one repeats): `serve`, `crash` (ready, then a real SIGSEGV), `fall` (SIGSEGV before ready),
 * `exit:N` (before ready), `late:N` (exit after ready), `slow:N` (ready after so many ms, and only then deaf to SIGHUP's
 * usual meaning), `stubborn` (ignores SIGTERM).
 */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [folder = "", ...rest] = process.argv.slice(2);
const steps = rest.slice(0, rest.indexOf("--supervised"));
mkdirSync(folder, { recursive: true });
const starts = readdirSync(folder).length;
writeFileSync(
  join(folder, `${starts}`),
  JSON.stringify({ pid: process.pid, args: process.argv.slice(2), atMs: Date.now() }),
);

const step = steps[Math.min(starts, steps.length - 1)] ?? "serve";
const [what, number] = step.split(":");

function ready(): void {
  const policy = { restartsMax: 2, windowMs: 60_000, backoffMsMax: 50, stopMsMax: 300 };
  process.send?.({ weir: "ready", port: 4321, policy });
}

function serve(): void {
  process.on("SIGTERM", () => process.exit(0));
  process.on("SIGHUP", () => process.stdout.write("reloaded\n"));
  ready();
  stay();
}

function stay(): void {
  process.on("disconnect", () => process.exit(0));
  setInterval(() => undefined, 1000);
  process.stdout.write("serving\n");
}

switch (what) {
  case "serve":
    serve();
    break;
  case "slow":
    setTimeout(serve, Number(number));
    break;
  case "stubborn":
    process.on("SIGTERM", () => undefined);
    ready();
    stay();
    break;
  case "crash":
    ready();
    setTimeout(() => process.kill(process.pid, "SIGSEGV"), 50);
    stay();
    break;
  case "fall":
    process.kill(process.pid, "SIGSEGV");
    break;
  case "late":
    ready();
    setTimeout(() => process.exit(Number(number)), 50);
    break;
  default:
    process.exit(Number(number));
}
