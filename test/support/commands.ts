/** Commands of weir in this process, as its entry runs them; what they say is kept. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCli } from "../../server/cli.ts";

const entry = join(import.meta.dirname, "../../server/main.ts");
const clock = { now: () => performance.now(), wall: () => Date.now() };

/** WEIR_HOME, and no other setting of weir in the environment. */
function settle(home: string): void {
  for (const name of Object.keys(process.env))
    if (/^(WEIR_|HF_|HOST$|PORT$)/.test(name)) delete process.env[name];
  process.env["WEIR_HOME"] = home;
}

/** An empty WEIR_HOME, and no other setting of weir in the environment; the caller puts back what was there. */
export function freshHome(): string {
  const home = mkdtempSync(join(tmpdir(), "weir-cli-"));
  settle(home);
  return home;
}

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function weir(argv: readonly string[], stdin?: string): Promise<Said> {
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

/** A command over this WEIR_HOME, whatever the environment says; the environment is put back. */
export async function runIn(home: string, argv: readonly string[], stdin?: string): Promise<Said> {
  const saved = { ...process.env };
  settle(home);
  try {
    return await weir(argv, stdin);
  } finally {
    process.env = saved;
  }
}
