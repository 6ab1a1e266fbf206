/**
 * Files of YAML that people write: read whole against one strict schema, every problem at once with its line, nothing guessed and
 * nothing dropped without a word. A message never repeats a value, nor a key that does not look like one: it may be a text of
 * somebody's that was indented wrongly.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { type Document, LineCounter, parseDocument, type YAMLError } from "yaml";
import type { z } from "zod";

/** Larger files are refused before they are parsed. */
export const FILE_BYTES_MAX = 1024 * 1024;
/** A file that is none of its kind may have more problems than anybody reads. */
const PROBLEMS_MAX = 100;

export interface YamlProblem {
  /** `prices.yaml:7`, or without a line where none is at fault. */
  readonly where: string;
  /** `prices.3.from`; empty where no single key is at fault. */
  readonly path: string;
  readonly message: string;
}

/** One line. */
export const formatProblem = ({ where, path, message }: YamlProblem): string =>
  [where, path, message].filter((part) => part !== "").join(": ");

/** The message lists the problems, one a line. */
export class YamlFileError extends Error {
  override readonly name: string = "YamlFileError";
  readonly problems: readonly YamlProblem[];
  constructor(problems: readonly YamlProblem[]) {
    const more = problems.length - PROBLEMS_MAX;
    const listed =
      more <= 0
        ? problems
        : [...problems.slice(0, PROBLEMS_MAX), { where: "", path: "", message: `and ${more} more` }];
    super(listed.map(formatProblem).join("\n"));
    this.problems = listed;
  }
}

export interface CheckedYaml<T> {
  readonly data: T;
  /** For what no schema shows. */
  problem(path: readonly PropertyKey[], message: string): YamlProblem;
}

/** The text of a file. Throws YamlFileError where there is none, or more of it than any person writes. */
export function readYamlText(file: string): string {
  const refuse = (message: string): YamlFileError => new YamlFileError([{ where: file, path: "", message }]);
  let handle: number;
  try {
    handle = openSync(file, "r");
  } catch (error) {
    const absent = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw refuse(absent ? "does not exist" : (error as Error).message);
  }
  try {
    const stat = fstatSync(handle);
    if (!stat.isFile()) throw refuse("is not a file");
    if (stat.size > FILE_BYTES_MAX) throw refuse(`is larger than ${FILE_BYTES_MAX} bytes`);
    return readFileSync(handle, "utf8");
  } finally {
    closeSync(handle);
  }
}

export interface YamlKind<Schema extends z.ZodType> {
  readonly schema: Schema;
  /** What messages call it: `policy`. */
  readonly noun: string;
  /** YamlFileError where absent. */
  readonly error?: new (
    problems: readonly YamlProblem[],
  ) => YamlFileError;
}

/** `file` is only for messages. Throws YamlFileError, or the kind's own. */
export function checkYaml<Schema extends z.ZodType>(
  text: string,
  file: string,
  { schema, noun, error: Refused = YamlFileError }: YamlKind<Schema>,
): CheckedYaml<z.output<Schema>> {
  const whole = (message: string): YamlFileError => new Refused([{ where: file, path: "", message }]);
  if (Buffer.byteLength(text) > FILE_BYTES_MAX) throw whole(`is larger than ${FILE_BYTES_MAX} bytes`);
  const lineCounter = new LineCounter();
  let document: Document;
  try {
    document = parseDocument(text, { lineCounter, prettyErrors: true, uniqueKeys: true });
  } catch {
    throw whole("is nested too deeply to be read");
  }
  // An unknown tag is only a warning to YAML; here nothing is guessed.
  const malformed: readonly YAMLError[] = [...document.errors, ...document.warnings];
  if (malformed.length > 0) {
    throw new Refused(
      malformed.map((error) => ({
        where: `${file}:${error.linePos?.[0].line ?? 1}`,
        path: "",
        message: yamlMessage(error, noun),
      })),
    );
  }
  const problem = (path: readonly PropertyKey[], message: string): YamlProblem => ({
    where: [file, lineOf(document, lineCounter, path)].filter((part) => part !== undefined).join(":"),
    path: path.map(String).map(asName).join("."),
    message,
  });
  let raw: unknown;
  try {
    // Aliases are counted, so that a few lines cannot grow to gigabytes.
    raw = document.toJS({ maxAliasCount: 100 });
  } catch {
    throw whole("has an alias without an anchor before it, or aliases that multiply; write the values out");
  }
  const lost = [...lostNames(raw, [])].map((path) => problem(path, "cannot be used as a name"));
  if (lost.length > 0) throw new Refused(lost);
  const parsed = schema.safeParse(raw);
  if (!parsed.success)
    throw new Refused(parsed.error.issues.map((issue) => problem(issue.path, issueMessage(issue, noun))));
  return { data: parsed.data, problem };
}

/** Messages of these codes repeat what stands in the file. */
const YAML_MESSAGES: Readonly<Record<string, string>> = {
  BAD_ALIAS: "is no alias",
  BAD_COLLECTION_TYPE: "has a tag that does not fit",
  BAD_DIRECTIVE: "has a directive that is not YAML's",
  BAD_DQ_ESCAPE: "has an escape that YAML does not know in a double-quoted text",
};

function yamlMessage({ code, message }: YAMLError, noun: string): string {
  if (code === "TAG_RESOLVE_FAILED") return `has a tag; a ${noun} needs none`;
  // The first line without what it quotes; the rest shows the place in the file.
  const [said = ""] = message.split("\n");
  return YAML_MESSAGES[code] ?? said.replace(/ at line \d+, column \d+:?$/, "").replace(/: .*$/, "");
}

const asName = (key: string): string => (/^[\w.:@/-]{1,128}$/.test(key) ? key : "(a text)");

function issueMessage(issue: z.core.$ZodIssue, noun: string): string {
  const odd = issue.code === "unrecognized_keys" && issue.keys.some((key) => asName(key) !== key);
  return odd ? `has a key that is none of a ${noun}'s` : issue.message;
}

/** A schema drops this name without a word, and what it says would be lost. */
function* lostNames(raw: unknown, path: readonly PropertyKey[]): Iterable<readonly PropertyKey[]> {
  if (typeof raw !== "object" || raw === null) return;
  if (Object.hasOwn(raw, "__proto__")) yield [...path, "__proto__"];
  // No schema drops anything further down; there a probe's request is taken as it is.
  if (path.length >= 3) return;
  for (const [key, value] of Object.entries(raw)) yield* lostNames(value, [...path, key]);
}

function lineOf(
  document: Document,
  lineCounter: LineCounter,
  path: readonly PropertyKey[],
): number | undefined {
  for (let depth = path.length; depth > 0; depth -= 1) {
    const node = document.getIn(path.slice(0, depth), true) as { range?: readonly number[] } | undefined;
    if (node?.range?.[0] !== undefined) return lineCounter.linePos(node.range[0]).line;
  }
  return undefined;
}

/** Of plain data, the same whatever the order of keys; what is undefined is as if it were not there. Hexadecimal. */
export const contentHash = (value: unknown): string =>
  createHash("sha256").update(canonical(value)).digest("hex");

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`)
    .join(",")}}`;
}
