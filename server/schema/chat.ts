/** The body of POST /v1/chat/completions. */
import { z } from "zod";
import { sharedFields } from "./fields.ts";

const TOOLS_MAX = 128;
const NAME_CHARACTERS_MAX = 256;

export interface ChatBounds {
  readonly choicesMax: number;
  readonly messagesMax: number;
}

const KNOWN_PARTS: ReadonlySet<string> = new Set(["image_url", "input_audio", "file"]);

/** One part of a message's content, as its text. */
const contentPart = z
  .object({ type: z.string(), text: z.string().optional(), refusal: z.string().optional() })
  .transform((part, context) => {
    if (part.type === "text" && part.text !== undefined) return part.text;
    if (part.type === "refusal" && part.refusal !== undefined) return part.refusal;
    const what = KNOWN_PARTS.has(part.type)
      ? `parts of type '${part.type}' are not supported`
      : "not a text part";
    const message = `${what}; this server reads text only: {"type": "text", "text": "..."}`;
    context.issues.push({ code: "custom", message, input: undefined });
    return z.NEVER;
  });

const content = z
  .union([z.string(), z.array(contentPart)], "expected a string or an array of text parts")
  .transform((value) => (typeof value === "string" ? value : value.join("\n")));

const name = z.string().max(NAME_CHARACTERS_MAX).nullish();

const functionCall = z.object({ name: z.string().max(NAME_CHARACTERS_MAX), arguments: z.string() });
const toolCall = z.object({
  id: z.string().max(NAME_CHARACTERS_MAX),
  type: z.literal("function"),
  function: functionCall,
});

const assistantMessage = z
  .object({
    role: z.literal("assistant"),
    content: content.nullish(),
    refusal: z.string().nullish(),
    name,
    tool_calls: z.array(toolCall).nullish(),
    function_call: functionCall.nullish(),
  })
  .refine(
    (message) => (message.content ?? message.refusal ?? message.tool_calls ?? message.function_call) != null,
    { path: ["content"], message: "an assistant message needs content or tool_calls" },
  );

const message = z.discriminatedUnion("role", [
  z.object({ role: z.literal("system"), content, name }),
  z.object({ role: z.literal("developer"), content, name }),
  z.object({ role: z.literal("user"), content, name }),
  assistantMessage,
  z.object({ role: z.literal("tool"), content, tool_call_id: z.string().max(NAME_CHARACTERS_MAX) }),
  z.object({
    role: z.literal("function"),
    content: content.nullable(),
    name: z.string().max(NAME_CHARACTERS_MAX),
  }),
]);

export type ChatBodyMessage = z.output<typeof message>;

const tool = z.object({
  type: z.literal("function", "only tools of type 'function' are supported"),
  function: z.looseObject({
    name: z.string().min(1).max(NAME_CHARACTERS_MAX),
    description: z.string().optional(),
    parameters: z.record(z.string(), z.unknown()).optional(),
  }),
});

const responseFormat = z
  .object({ type: z.string() })
  .refine(
    (format) => format.type === "text",
    'only {"type": "text"} is possible, json_object and json_schema are not supported yet by this server',
  );

export const chatBody = (bounds: ChatBounds) =>
  z.object({
    ...sharedFields(bounds),
    messages: z.array(message).min(1).max(bounds.messagesMax),
    max_completion_tokens: z
      .int()
      .min(1)
      .max(2 ** 31 - 1)
      .optional(),
    max_tokens: z
      .int()
      .min(1)
      .max(2 ** 31 - 1)
      .optional()
      .describe("The old name of max_completion_tokens."),
    logprobs: z.boolean().default(false),
    top_logprobs: z.int().min(0).max(20).optional().describe("Needs logprobs: true."),
    response_format: responseFormat.optional(),
    tools: z.array(tool).max(TOOLS_MAX).default([]).describe("Shown to the model by its chat template."),
    tool_choice: z
      .enum(["none", "auto"], "only 'none' and 'auto' are supported yet by this server")
      .default("auto"),
    modalities: z.array(z.literal("text", "answers are text only")).optional(),
  });

export type ChatBody = z.output<ReturnType<typeof chatBody>>;
