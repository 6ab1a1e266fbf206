/** Commands of weir in this process, as its entry runs them; what they say is kept. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCli } from "../../server/cli.ts";

const entry = join(import.meta.dirname, "../../server/main.ts");
const clock = { now: () => performance.now(), wall: () => Date.now() };

/** An empty WEIR_HOME, and no other setting of weir in the environment; the caller puts back what was there. */
export function freshHome(): string {
  const home = mkdtempSync(join(tmpdir(), "weir-cli-"));
  for (const name of Object.keys(process.env))
    if (/^(WEIR_|HF_|HOST$|PORT$)/.test(name)) delete process.env[name];
  process.env["WEIR_HOME"] = home;
  return home;
}

export async function weir(argv: readonly string[], stdin?: string) {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runCli(argv, {
    clock,
    entry,
    terminal: {
      out: (line) => void out.push(line),
      err: (line) => void err.push(line),
      interactive: false,
      input: async () => stdin,
    },
  });
  return { code, out: out.join("\n"), err: err.join("\n") };
}
