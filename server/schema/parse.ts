/** From a body to its type, or to the one error that a client can act on: the first wrong field, named by its path. */
import type { z } from "zod";
import { WeirError } from "../../engine/core/errors.ts";
import { checkStructure } from "./structure.ts";

/** Fields whose own parsers stop at the first wrong element, however long the list. */
const LONG_FIELDS: ReadonlySet<string> = new Set(["prompt", "tokens"]);

type Issue = z.core.$ZodIssue;

export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new WeirError(
      "invalid_request",
      'The request body must be a JSON object, such as {"model": "..."}.',
    );
  }
  checkStructure(body, LONG_FIELDS);
  const result = schema.safeParse(withoutNulls(body));
  if (result.success) return result.data;
  const first = result.error.issues[0];
  if (first === undefined)
    throw new WeirError("invalid_request", "The request body does not fit this endpoint.");
  throw issueError(first);
}

/** OpenAI's clients send null for "not set"; at the top level that is the same as leaving the field out. */
function withoutNulls(body: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
}

function issueError(issue: Issue): WeirError {
  const found = deepest(issue);
  const param = found.path.map(String).join(".").slice(0, 200);
  const said = found.message.replace(/^Invalid input: /, "").replace(/\.$/, "");
  if (said.endsWith("received undefined")) {
    return new WeirError("invalid_request", `Missing required parameter: '${param}'.`, { param });
  }
  const kind = found.code === "invalid_type" ? "type" : "value";
  return new WeirError("invalid_request", `Invalid ${kind} for '${param}': ${said}.`, { param });
}

/** Of a union's branches the one that got furthest is what the client meant. */
function deepest(issue: Issue): Issue {
  if (issue.code !== "invalid_union") return issue;
  let best: Issue = issue;
  for (const branch of issue.errors) {
    const first = branch[0];
    if (first === undefined) continue;
    const inner = deepest(first);
    const path = [...issue.path, ...inner.path];
    if (path.length > best.path.length) best = { ...inner, path };
  }
  return best;
}

/** Top-level names that the schema does not know and the client should hear about. */
export function unknownParameters(
  schema: z.ZodObject,
  body: unknown,
  isQuiet: (name: string, value: unknown) => boolean,
): readonly string[] {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return [];
  return Object.entries(body)
    .filter(([key, value]) => value !== null && !(key in schema.shape) && !isQuiet(key, value))
    .map(([key]) => key);
}
