/** How a command ends when it cannot do what it was asked: a sentence and an exit code, no stack. */

/** 0 is success; 1: it failed; 2: it was called or configured wrongly. */
export type ExitCode = 0 | 1 | 2;

/** The message says what happened, why, and what to do next. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
  readonly exitCode: ExitCode;
  constructor(exitCode: ExitCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.exitCode = exitCode;
  }
}

/** Expected failures carry a sentence of their own; of anything else the kind is worth a word. */
const EXPECTED = new Set([
  "CommandFailure",
  "ConfigError",
  "ModelError",
  "ModelFileError",
  "HubError",
  "LedgerError",
  "KeyStoreError",
  "PinsError",
  "PolicyError",
  "ReceiptLogError",
  "WeirError",
  "YamlFileError",
]);
/** Of these, what says that somebody wrote something wrong: starting again would not help. */
const WRITTEN_WRONGLY = new Set(["ConfigError", "PolicyError", "YamlFileError"]);

export interface Ending {
  readonly exitCode: ExitCode;
  readonly lines: readonly string[];
}

export function endingOf(error: unknown, debug: boolean): Ending {
  const failure = error instanceof Error ? error : new Error(String(error));
  const exitCode =
    failure instanceof CommandFailure ? failure.exitCode : WRITTEN_WRONGLY.has(failure.name) ? 2 : 1;
  const lines = failure.message.split("\n").map((line) => `weir: ${line}`);
  if (debug) return { exitCode, lines: [...lines, failure.stack ?? "", ...causes(failure)] };
  const code = (failure as NodeJS.ErrnoException).code;
  const isSystem = typeof code === "string" && /^E[A-Z0-9]+$/.test(code);
  if (EXPECTED.has(failure.name) || isSystem) return { exitCode, lines };
  return {
    exitCode,
    lines: [...lines, "weir: This is not expected; WEIR_DEBUG=1 shows where it comes from."],
  };
}

function causes(error: Error): readonly string[] {
  const found: string[] = [];
  for (let at = error.cause; at instanceof Error && found.length < 8; at = at.cause) {
    found.push(`caused by ${at.stack ?? at.message}`);
  }
  return found;
}
