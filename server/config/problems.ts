/** What is wrong with a configuration, in words: the key, what it must be, what it is, and the nearest known key. */
import type { z } from "zod";
import { LEAVES, type Leaf } from "./leaves.ts";
import type { Settings } from "./schema.ts";

export interface Problem {
  /** Empty where no single key is at fault. */
  readonly path: string;
  /** `weir.yaml:3`, `environment PORT`, `flag --port`. */
  readonly where: string;
  readonly message: string;
}

export const formatProblem = (problem: Problem): string =>
  [problem.where, problem.path, problem.message].filter((part) => part !== "").join(": ");

/** A value in a message: short, on one line. */
function shown(value: unknown): string {
  const text = value === undefined ? "missing" : (JSON.stringify(value) ?? typeof value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

export function leafProblem(leaf: Leaf, value: unknown, issue: z.core.$ZodIssue): string {
  // Patterns and refinements carry a sentence of their own in the schema; the rest follows from the accepted values.
  const own = issue.code === "custom" || issue.message.startsWith("must");
  return own ? `${issue.message}; it is ${shown(value)}` : `must be ${leaf.domain}; it is ${shown(value)}`;
}

/**
 * What is wrong inside an entry of a map. What was found there is not repeated: it may be a secret in the wrong place.
 */
export function entryProblems(
  issue: z.core.$ZodIssue,
): readonly { readonly below: readonly string[]; readonly message: string }[] {
  const below = issue.path.map(String);
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => ({ below: [...below, key], message: "is not a setting of weir here" }));
  if (issue.code === "invalid_key")
    return [{ below, message: issue.issues[0]?.message ?? "is no name that can stand here" }];
  const said = issue.message.replace(/^Invalid (?:input|option): /, "");
  return [
    {
      below,
      message:
        said.startsWith("must") || said.startsWith("may") || said.startsWith("is ")
          ? said
          : `is not valid: ${said}`,
    },
  ];
}

/** Sections and settings directly under `section` ("" = the top of the file). */
const keysUnder = (section: string): readonly string[] => {
  const prefix = section === "" ? "" : `${section}.`;
  const rest = LEAVES.filter((leaf) => leaf.path.startsWith(prefix)).map((leaf) =>
    leaf.path.slice(prefix.length),
  );
  return [...new Set(rest.map((path) => path.split(".")[0] ?? path))];
};

export function unknownKey(section: string, key: string): string {
  const siblings = keysUnder(section);
  const near = nearest(key, siblings);
  if (near !== undefined) return `is not a setting of weir; did you mean ${near}?`;
  const elsewhere = LEAVES.find((leaf) => leaf.path.split(".").at(-1) === key);
  if (elsewhere !== undefined) return `is not a setting of weir here; did you mean ${elsewhere.path}?`;
  return `is not a setting of weir; ${section === "" ? "the file" : section} may hold ${siblings.join(", ")}`;
}

/** The candidate within a few typing slips, if there is one. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const allowed = Math.max(1, Math.floor(word.length / 3));
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(normal(word), normal(candidate)) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= allowed ? best.candidate : undefined;
}

/** `rowsMax`, `rows-max` and `rows_max` are the same word. */
const normal = (word: string): string => word.toLowerCase().replaceAll(/[_-]/g, "");

/** Insertions, deletions, changes and swaps of neighbours; words over 64 characters count as far from everything. */
function editDistance(a: string, b: string): number {
  if (Math.max(a.length, b.length) > 64) return Number.POSITIVE_INFINITY;
  const rows = [Array.from({ length: b.length + 1 }, (_, index) => index)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Number.POSITIVE_INFINITY;
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j += 1) {
      const change = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(change, at(i - 1, j) + 1, at(i, j - 1) + 1, swap));
    }
  }
  return at(a.length, b.length);
}

interface Relation {
  /** The settings that take part; the first is the one to point at. */
  readonly paths: readonly [string, string];
  readonly holds: (settings: Settings) => boolean;
  readonly why: string;
}

/** Bounds that must agree; those of the engine are engine/core/limits.ts's, in the words of the file. */
const RELATIONS: readonly Relation[] = [
  {
    paths: ["engine.step_tokens_max", "engine.rows_max"],
    holds: ({ engine }) => engine.step_tokens_max >= engine.rows_max,
    why: "must be at least engine.rows_max, since each row needs a token per step",
  },
  {
    paths: ["engine.chunk_tokens_max", "engine.chunk_tokens_min"],
    holds: ({ engine }) => engine.chunk_tokens_max >= engine.chunk_tokens_min,
    why: "must be at least engine.chunk_tokens_min",
  },
  {
    paths: ["engine.chunk_tokens_max", "engine.step_tokens_max"],
    holds: ({ engine }) => engine.chunk_tokens_max <= engine.step_tokens_max,
    why: "must be at most engine.step_tokens_max, since a chunk must fit into a step",
  },
  {
    paths: ["server.receive_timeout_ms", "server.headers_timeout_ms"],
    holds: ({ server }) => server.receive_timeout_ms >= server.headers_timeout_ms,
    why: "must be at least server.headers_timeout_ms, since the headers are part of the request",
  },
  {
    paths: ["server.choices_max", "server.generations_max"],
    holds: ({ server }) => server.choices_max <= server.generations_max,
    why: "must be at most server.generations_max, since each choice is a generation",
  },
  {
    paths: ["server.prompts_max", "server.generations_max"],
    holds: ({ server }) => server.prompts_max <= server.generations_max,
    why: "must be at most server.generations_max, since each prompt is a generation",
  },
  {
    paths: ["server.generations_max", "engine.waiting_max"],
    holds: ({ server, engine }) => server.generations_max <= engine.waiting_max,
    why: "must be at most engine.waiting_max, or such a request would never find room in the queue",
  },
];

/** Bounds that contradict each other; those with a setting in `broken` (already reported) are left out. */
export function crossProblems(
  settings: Settings,
  broken: ReadonlySet<string>,
  /** Undefined for a default. */
  whereOf: (path: string) => string | undefined,
): readonly Problem[] {
  return RELATIONS.filter(
    ({ paths, holds }) => !paths.some((path) => broken.has(path)) && !holds(settings),
  ).map(({ paths: [path, other], why }) => ({
    path,
    where: whereOf(path) ?? whereOf(other) ?? "default",
    message: `${why}; they are ${shown(valueAt(settings, path))} and ${shown(valueAt(settings, other))}`,
  }));
}

export function valueAt(tree: unknown, path: string): unknown {
  let at = tree;
  for (const key of path.split(".")) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[key];
  }
  return at;
}
