/**
 * What is told of a failure that nobody expected: its kind and its place. Its message stays untold unless it is one of the
 * house's own: those of the language and of packages like to quote what they were given, and that may be a request.
 */

export interface BugReport {
  readonly type: string;
  readonly code?: string;
  readonly message?: string;
  /** Where in the code, innermost first. */
  readonly at: readonly string[];
  readonly cause?: BugReport;
}

/** Their messages are made of places, names and numbers, never of what a request says. */
const OWN: ReadonlySet<string> = new Set([
  "AssertionError",
  "ConfigError",
  "KeyStoreError",
  "ModelError",
  "ModelFileError",
  "OrtError",
  "PinsError",
  "PolicyError",
  "ReceiptLogError",
  "TopicModelError",
  "WeirError",
]);

const CAUSES_MAX = 4;
const FRAMES_MAX = 12;
/** `    at name (file:line:column)`: neither part can be text of a request. */
const FRAME = /^ {4}at (?:[^()\n]{1,200} \()?(?:file:\/\/|node:|\/|[A-Z]:\\)[^()\n]{1,400}:\d+:\d+\)?$/;

export function bugReport(failure: unknown, causesMax = CAUSES_MAX): BugReport {
  if (!(failure instanceof Error)) return { type: typeof failure, at: [] };
  const { name, message, cause } = failure;
  const { code } = failure as NodeJS.ErrnoException;
  const coded = typeof code === "string" && /^\w{1,60}$/.test(code);
  return {
    type: OWN.has(name) ? name : failure.constructor.name,
    ...(coded ? { code } : {}),
    ...(OWN.has(name) || isSystem(failure) ? { message } : {}),
    at: framesOf(failure),
    ...(cause === undefined || causesMax === 0 ? {} : { cause: bugReport(cause, causesMax - 1) }),
  };
}

/** As lines for a terminal. */
export function reportLines(report: BugReport): readonly string[] {
  const { type, code, message, at, cause } = report;
  const what = [type, code, message].filter((part) => part !== undefined).join(": ");
  return [
    what,
    ...at.map((place) => `    at ${place}`),
    ...(cause === undefined
      ? []
      : reportLines(cause).map((line, index) => (index === 0 ? `caused by ${line}` : line))),
  ];
}

/** Of the file system and the network: a call, a code and a path or an address. */
const isSystem = (failure: NodeJS.ErrnoException): boolean =>
  typeof failure.errno === "number" && typeof failure.syscall === "string";

/** A stack begins with the message, which may have lines that look like its own. */
function framesOf({ stack = "", message }: Error): readonly string[] {
  const at = stack.indexOf(message);
  if (at < 0) return [];
  return stack
    .slice(at + message.length)
    .split("\n")
    .filter((line) => FRAME.test(line))
    .slice(0, FRAMES_MAX)
    .map((line) => line.slice("    at ".length));
}
