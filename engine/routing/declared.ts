/** What is said about a request's data beside its text: labels, its key, where it came from, which tools it uses. */
import { DATA_CLASSES, type DataClass } from "../core/data-class.ts";
import type { Evidence } from "../core/evidence.ts";
import type { Policy } from "../core/policy.ts";

export interface Declared {
  /** The header `x-weir-class`. */
  readonly label: string | undefined;
  /** The header `x-weir-source`; `metadata.data_source` says the same. */
  readonly source: string | undefined;
  /** Of the caller's key. */
  readonly classFloor: DataClass;
}

/** Votes for more than public; a label or source that nobody knows votes for the highest. Never throws for JSON. */
export function declaredVotes(
  body: unknown,
  { label, source, classFloor }: Declared,
  { tools, connectors }: Pick<Policy, "tools" | "connectors">,
): readonly Evidence[] {
  const votes: Evidence[] = [];
  const vote = (rule: string, value: DataClass, where: string): void => {
    if (value !== "public") votes.push({ rule, class: value, where });
  };
  vote("declared.key", classFloor, "");
  if (label !== undefined) vote("declared.header", classOf(label), "");
  if (source !== undefined) vote("declared.source", connectors.get(source) ?? "restricted", "");
  const inBody = fields(fields(body)["metadata"])["data_source"];
  if (inBody !== undefined && inBody !== null) {
    const known = typeof inBody === "string" ? connectors.get(inBody) : undefined;
    vote("declared.source", known ?? "restricted", "/metadata/data_source");
  }
  if (tools.size > 0) {
    for (const [name, where] of toolNames(fields(body)))
      vote("declared.tool", tools.get(name) ?? "public", where);
  }
  return votes;
}

/** The label of a header may be written in any case and with spaces around it; another word is the highest class. */
function classOf(label: string): DataClass {
  const word = label.trim().toLowerCase();
  return DATA_CLASSES.find((each) => each === word) ?? "restricted";
}

type Fields = Readonly<Record<string, unknown>>;

const fields = (value: unknown): Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};

const items = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** Every name of a tool in a body: offered, called, or answering. */
function* toolNames(body: Fields): Generator<readonly [name: string, where: string]> {
  const named = function* (value: unknown, where: string): Generator<readonly [string, string]> {
    if (typeof value === "string") yield [value, where];
  };
  for (const [index, tool] of items(body["tools"]).entries())
    yield* named(fields(fields(tool)["function"])["name"] ?? fields(tool)["name"], `/tools/${index}`);
  for (const [index, tool] of items(body["functions"]).entries())
    yield* named(fields(tool)["name"], `/functions/${index}`);
  for (const [index, value] of items(body["messages"]).entries()) {
    const message = fields(value);
    const where = `/messages/${index}`;
    if (message["role"] === "tool" || message["role"] === "function") yield* named(message["name"], where);
    yield* named(fields(message["function_call"])["name"], where);
    for (const call of items(message["tool_calls"]))
      yield* named(fields(fields(call)["function"])["name"], where);
  }
}
