/** What the answers look like, for /docs only: answers are built in openai-shape.ts and not checked again on their way. */
import { z } from "zod";
import { DATA_CLASSES } from "../../engine/core/data-class.ts";

const zone = z.enum(["onprem", "cloud"]);

const finishReason = z.enum(["stop", "length", "tool_calls", "content_filter"]);

const usage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int() }),
});

const tokenIds = z.array(z.int()).optional().describe("With return_token_ids.");

const errorResponse = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
});

export const errorResponses = {
  "4xx": errorResponse.describe("The request is at fault: error.param names the field."),
  "5xx": errorResponse.describe(
    "The server is at fault, or not ready; x-should-retry says whether to try again.",
  ),
};

export const completionResponse = z
  .object({
    id: z.string(),
    object: z.literal("text_completion"),
    created: z.int().describe("Seconds since 1970."),
    model: z.string(),
    choices: z.array(
      z.object({
        index: z.int(),
        text: z.string(),
        logprobs: z
          .object({
            tokens: z.array(z.string()),
            token_logprobs: z.array(z.number().nullable()),
            top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
            text_offset: z.array(z.int()).describe("In characters of this choice's text."),
          })
          .nullable(),
        finish_reason: finishReason
          .nullable()
          .describe("Null in a stream, but for each choice's last chunk."),
        token_ids: tokenIds,
        prompt_token_ids: tokenIds,
      }),
    ),
    usage: usage.nullish(),
  })
  .describe("The whole answer; with stream: true, server-sent events of the same shape, then [DONE].");

const chatToken = z.object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()).nullable() });

export const chatResponse = z
  .object({
    id: z.string(),
    object: z.literal("chat.completion"),
    created: z.int(),
    model: z.string(),
    choices: z.array(
      z.object({
        index: z.int(),
        message: z.object({
          role: z.literal("assistant"),
          content: z.string().nullable(),
          refusal: z.null(),
          tool_calls: z
            .array(
              z.object({
                id: z.string(),
                type: z.literal("function"),
                function: z.object({ name: z.string(), arguments: z.string() }),
              }),
            )
            .optional(),
        }),
        logprobs: z
          .object({
            content: z.array(chatToken.extend({ top_logprobs: z.array(chatToken) })),
            refusal: z.null(),
          })
          .nullable(),
        finish_reason: finishReason,
        token_ids: tokenIds,
      }),
    ),
    usage,
    prompt_token_ids: tokenIds,
  })
  .describe("The whole answer; with stream: true, server-sent events of chat.completion.chunk, then [DONE].");

export const modelResponse = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int(),
  owned_by: z.string(),
  meta: z.union([
    z.object({
      n_vocab: z.int(),
      context_length: z.int().describe("Prompt and answer together, in tokens."),
      n_embd: z.int(),
      n_layer: z.int(),
      size: z.int().describe("Weights and graph on disk, in bytes."),
      weights: z.string(),
      kv: z.string(),
      has_chat_template: z.boolean(),
    }),
    z.object({ backend: z.string(), zone }).describe("Of a model of another server."),
  ]),
});

export const modelListResponse = z.object({ object: z.literal("list"), data: z.array(modelResponse) });

const dataClass = z.enum(DATA_CLASSES);

export const explainResponse = z.object({
  class: dataClass,
  zone,
  action: z.enum(["serve", "refuse"]),
  backend: z.string().nullable(),
  evidence: z.array(
    z.object({
      rule: z.string(),
      class: dataClass,
      where: z.string().describe("JSON Pointer into the body; empty for the whole."),
    }),
  ),
  policy: z.string().describe("SHA-256 of the policy, hex."),
  confidence: z.number().min(0).max(1),
});

export const healthResponse = z.object({
  status: z.literal("ok"),
  device: z.string().describe("Where models run."),
});
