/**
 * Files of YAML that people write: read whole against one strict schema, every problem at once with its line, nothing guessed and
 * nothing dropped without a word.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { type Document, LineCounter, parseDocument, type YAMLError } from "yaml";
import type { z } from "zod";

/** Larger files are refused before they are parsed. */
const FILE_BYTES_MAX = 1024 * 1024;
/** A file that is none of its kind may have more problems than anybody reads. */
const PROBLEMS_MAX = 100;

export interface YamlProblem {
  /** `prices.yaml:7`, or without a line where none is at fault. */
  readonly where: string;
  /** `prices.3.from`; empty where no single key is at fault. */
  readonly path: string;
  readonly message: string;
}

const formatProblem = ({ where, path, message }: YamlProblem): string =>
  [where, path, message].filter((part) => part !== "").join(": ");

/** The message lists the problems, one a line. */
export class YamlFileError extends Error {
  override readonly name = "YamlFileError";
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

/** `file` is only for messages. Throws YamlFileError. */
export function checkYaml<Schema extends z.ZodType>(
  text: string,
  file: string,
  schema: Schema,
): CheckedYaml<z.output<Schema>> {
  const whole = (message: string): YamlFileError => new YamlFileError([{ where: file, path: "", message }]);
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
    throw new YamlFileError(
      malformed.map((error) => ({
        where: `${file}:${error.linePos?.[0].line ?? 1}`,
        path: "",
        // The first line without what it quotes; the rest shows the place in the file.
        message: (error.message.split("\n")[0] ?? "").replace(/ at line \d+, column \d+:?$/, ""),
      })),
    );
  }
  const problem = (path: readonly PropertyKey[], message: string): YamlProblem => ({
    where: [file, lineOf(document, lineCounter, path)].filter((part) => part !== undefined).join(":"),
    path: path.map(String).join("."),
    message,
  });
  let raw: unknown;
  try {
    // Aliases are counted, so that a few lines cannot grow to gigabytes.
    raw = document.toJS({ maxAliasCount: 100 });
  } catch {
    throw whole("has an alias without an anchor before it, or aliases that multiply; write the values out");
  }
  const parsed = schema.safeParse(raw);
  if (!parsed.success)
    throw new YamlFileError(parsed.error.issues.map((issue) => problem(issue.path, issue.message)));
  return { data: parsed.data, problem };
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
