/** `weir keys hash`: the line for the keys file. The key itself is shown once and kept nowhere. */
import { newKey } from "../keys/hash.ts";
import { hashKey } from "../keys/keys-file.ts";
import { CommandFailure, type ExitCode } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

const KEY_CHARACTERS_MIN = 16;
const KEY_CHARACTERS_MAX = 512;

/** The line goes to standard output, so that `weir keys hash >> keys.txt` works; a new key to standard error. */
export async function keysHash(name: string | undefined, terminal: Terminal): Promise<ExitCode> {
  const typed = (await terminal.input())?.trim();
  const given = typed === undefined || typed === "" ? undefined : typed;
  if (given !== undefined) checkKey(given);
  const key = given ?? newKey();
  terminal.out(await hashKey(key, name));
  if (given === undefined) {
    terminal.err(`The key, shown this once: ${key}`);
    terminal.err(
      "Clients send it as `Authorization: Bearer KEY`; the line above goes into the file of WEIR_API_KEYS_FILE.",
    );
  }
  return 0;
}

function checkKey(key: string): void {
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new CommandFailure(1, "A key is one word of plain characters; give exactly one on standard input.");
  }
  if (key.length < KEY_CHARACTERS_MIN || key.length > KEY_CHARACTERS_MAX) {
    const bounds = `${KEY_CHARACTERS_MIN} to ${KEY_CHARACTERS_MAX} characters`;
    throw new CommandFailure(
      1,
      `A key has ${bounds}, this one has ${key.length}. Without input weir makes a good one.`,
    );
  }
}
