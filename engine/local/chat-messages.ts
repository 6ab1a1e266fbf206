/** Messages in the form that chat templates expect: that of Hugging Face's `apply_chat_template`. */
import type { ChatMessage, ToolCall } from "../core/request.ts";

export type TemplateMessage = Readonly<Record<string, unknown>>;

/** `knowsDeveloper`: the template has a developer role of its own; otherwise such messages go as system messages. */
export function templateMessages(
  messages: readonly ChatMessage[],
  knowsDeveloper: boolean,
): TemplateMessage[] {
  const toolNames = new Map<string, string>();
  return messages.map((message) => {
    for (const { id, name } of message.toolCalls ?? []) toolNames.set(id, name);
    const { toolCalls, toolCallId, content } = message;
    const role = message.role === "developer" && !knowsDeveloper ? "system" : message.role;
    // A tool's answer names its call by id alone in OpenAI's form; some templates want the tool's name.
    const name = message.name ?? (toolCallId === undefined ? undefined : toolNames.get(toolCallId));
    return {
      role,
      content,
      ...(name === undefined ? {} : { name }),
      ...(toolCallId === undefined ? {} : { tool_call_id: toolCallId }),
      ...(toolCalls === undefined || toolCalls.length === 0
        ? {}
        : { tool_calls: toolCalls.map(templateCall) }),
    };
  });
}

function templateCall({ id, name, arguments: text }: ToolCall): TemplateMessage {
  return { id, type: "function", function: { name, arguments: argumentsOf(text) } };
}

/** Templates write arguments as JSON themselves, so they get the object; what a model wrote wrongly stays text. */
function argumentsOf(text: string): unknown {
  if (text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : text;
  } catch {
    return text;
  }
}
