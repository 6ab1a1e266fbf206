/** What the vendors' files share: reading JSON that nobody has promised, and what no remote backend can be asked. */
import { type ErrorCode, WeirError } from "../../core/errors.ts";
import type { ChatMessage, GenerationRequest, ToolCall } from "../../core/request.ts";
import type { Problem } from "./provider.ts";

/** A stream is not in the vendor's shape. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
}

export type Json = Readonly<Record<string, unknown>>;

/** An object's fields; of anything else none. */
export const fields = (value: unknown): Json =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};

export const items = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

export const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** An event's data. Throws ShapeError. */
export function parseData(data: string): Json {
  try {
    return fields(JSON.parse(data));
  } catch {
    throw new ShapeError("an event that is not JSON");
  }
}

/** A body that may be anything, such as a proxy's page. */
export function parseBody(body: string): Json {
  try {
    return fields(JSON.parse(body));
  } catch {
    return {};
  }
}

/** A status that stands in a body, and may be any number there. */
export const statusIn = (value: unknown): number =>
  typeof value === "number" && Number.isInteger(value) && value >= 400 && value <= 599 ? value : 500;

/** What a status means where the vendor's words say nothing else. */
function codeOfStatus(status: number): ErrorCode {
  if (status === 401 || status === 402 || status === 403) return "backend_refused";
  if (status === 404) return "backend_refused";
  if (status === 408 || status >= 500) return "backend_failed";
  if (status === 413) return "body_too_large";
  if (status === 429) return "overloaded";
  return "invalid_request";
}

/** `word` by its place in the table; one that is not in it says nothing, and is not repeated. */
export function problemOf(
  status: number,
  word: unknown,
  table: Readonly<Record<string, ErrorCode>>,
): Problem {
  const known = typeof word === "string" && Object.hasOwn(table, word) ? word : undefined;
  const code = known === undefined ? undefined : table[known];
  return { code: code ?? codeOfStatus(status), word: known ?? `status ${status}` };
}

/** Refuses what would change the answer's meaning if it were left out. What only steers the draw may be left out. */
export function refuseLocalOnly(request: GenerationRequest): void {
  const asked: readonly (readonly [boolean, string])[] = [
    [request.prompt.kind === "tokens", "prompt"],
    [request.echo, "echo"],
    [request.logprobs !== undefined, "logprobs"],
    [request.stopTokenIds.length > 0, "stop_token_ids"],
    [request.ignoreEos, "ignore_eos"],
    [request.minTokens > 0, "min_tokens"],
    [request.sampling.logitBias.length > 0, "logit_bias"],
    [request.maxTokens === 0, "max_tokens"],
  ];
  const first = asked.find(([is]) => is);
  if (first !== undefined) throw unsupported(first[1], "tokens of a remote model are not known here");
}

const unsupported = (param: string, why: string): WeirError =>
  new WeirError("invalid_request", `'${param}' cannot be sent to this backend: ${why}.`, { param });

/** For vendors that have only chats, a text to complete is what a user says. Throws for a prompt of tokens. */
export function messagesOf({ prompt }: GenerationRequest): readonly ChatMessage[] {
  switch (prompt.kind) {
    case "chat":
      return prompt.messages;
    case "text":
      return [{ role: "user", content: prompt.text }];
    case "tokens":
      throw unsupported("prompt", "tokens of a remote model are not known here");
  }
}

/** Instructions have a place of their own at most vendors, wherever in the conversation they stand. */
export const isInstruction = ({ role }: ChatMessage): boolean => role === "system" || role === "developer";

export interface Turn<Role extends string> {
  readonly role: Role;
  readonly parts: readonly Json[];
}

/**
 * Messages of one side that follow each other become one turn: results of calls must stand together.
 * `toTurn` is called once a message, in their order.
 */
export function turnsOf<Role extends string>(
  messages: readonly ChatMessage[],
  toTurn: (message: ChatMessage) => Turn<Role>,
): readonly Turn<Role>[] {
  const turns: { readonly role: Role; readonly parts: Json[] }[] = [];
  for (const message of messages) {
    const { role, parts } = toTurn(message);
    const last = turns.at(-1);
    if (last?.role === role) last.parts.push(...parts);
    else if (parts.length > 0) turns.push({ role, parts: [...parts] });
  }
  return turns;
}

export interface ToolFunction {
  readonly name: string;
  readonly description: string | undefined;
  readonly parameters: unknown;
  readonly strict: boolean | undefined;
}

/** The tools of a request, which are in OpenAI's shape, as their functions; other fields go nowhere. */
export function toolsOf({ prompt }: GenerationRequest): readonly ToolFunction[] {
  const tools = prompt.kind === "chat" ? (prompt.tools ?? []) : [];
  return tools.map((tool) => {
    const { name, description, parameters, strict } = fields(fields(tool)["function"]);
    return {
      name: textOf(name),
      description: typeof description === "string" ? description : undefined,
      parameters,
      strict: typeof strict === "boolean" ? strict : undefined,
    };
  });
}

/** A call's arguments as the object that some vendors want. Throws `invalid_request`. */
export function argumentsOf(call: ToolCall): Json {
  try {
    const value: unknown = call.arguments.trim() === "" ? {} : JSON.parse(call.arguments);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  } catch {
    // Said below: the parser's own message would quote the text.
  }
  throw unsupported("messages", "the arguments of a tool call are not a JSON object");
}
