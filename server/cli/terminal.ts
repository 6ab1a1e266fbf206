/** Where the commands write and read; tests pass one of their own. */
import { text } from "node:stream/consumers";

export interface Terminal {
  /** Results: one line on standard output. */
  out(line: string): void;
  /** Everything else: one line on standard error. */
  err(line: string): void;
  /** True where a person watches standard error, so that progress may redraw a line. */
  readonly interactive: boolean;
  /** All of standard input, at most so many characters (default: more than any key has); undefined where a person sits at it. */
  input(charactersMax?: number): Promise<string | undefined>;
}

const INPUT_CHARACTERS_MAX = 65_536;

export function processTerminal(): Terminal {
  // `weir config show | head`: the reader has enough, which is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(0);
  });
  return {
    out: (line) => void process.stdout.write(`${line}\n`),
    err: (line) => void process.stderr.write(`${line}\n`),
    interactive: process.stderr.isTTY === true,
    input: async (charactersMax = INPUT_CHARACTERS_MAX) => {
      if (process.stdin.isTTY === true) return undefined;
      const typed = await text(process.stdin.setEncoding("utf8"));
      if (typed.length > charactersMax)
        throw new Error(`Standard input has more than ${charactersMax} characters, which is too much.`);
      return typed;
    },
  };
}
