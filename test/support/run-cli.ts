/** `weir` in this process, over a WEIR_HOME, with nothing else of the environment. */
import { join } from "node:path";
import { runCli } from "../../server/cli.ts";

const entry = join(import.meta.dirname, "../../server/main.ts");
const clock = { now: () => performance.now(), wall: () => Date.now() };

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function runIn(home: string, argv: readonly string[], stdin?: string): Promise<Said> {
  const saved = { ...process.env };
  for (const name of Object.keys(process.env))
    if (/^(WEIR_|HF_|HOST$|PORT$)/.test(name)) delete process.env[name];
  process.env["WEIR_HOME"] = home;
  const out: string[] = [];
  const err: string[] = [];
  try {
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
  } finally {
    process.env = saved;
  }
}
