/** Every text of a request that a remote backend is sent, so that each can be replaced where it stands. */
import type { ChatMessage, GenerationRequest, Prompt, ToolCall } from "../../core/request.ts";
import { mapJsonText } from "./json-text.ts";
import { type TextVisitor, Unreplaceable } from "./text-visitor.ts";

/** The same request with other texts; texts are visited in the same order each time. Throws Unreplaceable. */
export function mapTexts(request: GenerationRequest, visitor: TextVisitor): GenerationRequest {
  return {
    ...request,
    prompt: mapPrompt(request.prompt, visitor),
    stop: request.stop.map((stop) => visitor.text(stop, "")),
  };
}

function mapPrompt(prompt: Prompt, visitor: TextVisitor): Prompt {
  switch (prompt.kind) {
    case "text":
      return { kind: "text", text: visitor.text(prompt.text, "") };
    case "tokens":
      throw new Unreplaceable("A prompt of tokens cannot be read here.");
    case "chat": {
      const messages = prompt.messages.map((message) => mapMessage(message, visitor));
      if (prompt.tools === undefined) return { kind: "chat", messages };
      return { kind: "chat", messages, tools: prompt.tools.map((tool) => mapTool(tool, visitor)) };
    }
  }
}

function mapMessage(message: ChatMessage, visitor: TextVisitor): ChatMessage {
  const { role, content, name, toolCalls, toolCallId } = message;
  if (toolCallId !== undefined) visitor.fixed(toolCallId, "");
  return {
    role,
    content: visitor.text(content, ""),
    ...(name === undefined ? {} : { name: visitor.text(name, "name") }),
    ...(toolCalls === undefined ? {} : { toolCalls: toolCalls.map((call) => mapCall(call, visitor)) }),
    ...(toolCallId === undefined ? {} : { toolCallId }),
  };
}

function mapCall(call: ToolCall, visitor: TextVisitor): ToolCall {
  visitor.fixed(call.id, "");
  visitor.fixed(call.name, "");
  if (call.arguments.trim() === "") return call;
  return { id: call.id, name: call.name, arguments: mapJsonText(call.arguments, visitor) };
}

/** Objects and arrays within each other. */
const NESTING_MAX = 64;

/** A tool's own name is fixed: vendors allow few characters in it. */
function mapTool(tool: unknown, visitor: TextVisitor): unknown {
  const mapped = mapTree(tool, "", NESTING_MAX, visitor);
  if (nameOf(mapped) !== nameOf(tool)) throw new Unreplaceable("A value stands in the name of a tool.");
  return mapped;
}

const nameOf = (tool: unknown): unknown =>
  (tool as { readonly function?: { readonly name?: unknown } } | null)?.function?.name;

/** Values of fields; their names are fixed, for a schema's names must stay identifiers. */
function mapTree(value: unknown, label: string, nesting: number, visitor: TextVisitor): unknown {
  if (typeof value === "string") return visitor.text(value, label);
  if (typeof value === "number") visitor.fixed(String(value), label);
  if (value === null || typeof value !== "object") return asPlain(value);
  if (nesting === 0) throw new Unreplaceable("Too much stands within each other.");
  if (Array.isArray(value)) return value.map((entry) => mapTree(entry, label, nesting - 1, visitor));
  const fields = Object.entries(value).map(([name, entry]) => {
    visitor.fixed(name, "");
    return [name, mapTree(entry, `${label} ${name}`.trim(), nesting - 1, visitor)] as const;
  });
  return Object.fromEntries(fields);
}

function asPlain(value: unknown): unknown {
  if (value === null || ["undefined", "boolean", "number"].includes(typeof value)) return value;
  throw new Unreplaceable("A value is none of JSON.");
}
