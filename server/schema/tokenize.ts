/** The bodies of /tokenize and /detokenize: vLLM's names, and llama.cpp's `content` and `add_special` beside them. */
import { z } from "zod";

const TOKENS_MAX = 1_000_000;

export const tokenizeBody = z.object({
  model: z.string().min(1).max(256).optional().describe("Without it, the first of /v1/models."),
  prompt: z.string().optional(),
  content: z.string().optional().describe("llama.cpp's name for prompt."),
  add_special_tokens: z.boolean().optional().describe("Default true: as in a completion."),
  add_special: z.boolean().optional().describe("llama.cpp's name for add_special_tokens."),
});

export const tokenizeResponse = z.object({
  tokens: z.array(z.int()),
  count: z.int(),
  max_model_len: z.int().describe("The model's context length."),
});

export const detokenizeBody = z.object({
  model: z.string().min(1).max(256).optional(),
  tokens: z
    .unknown()
    .meta({ type: "array", items: { type: "integer" }, maxItems: TOKENS_MAX })
    .transform((value, context): readonly number[] => {
      const fail = (message: string, path: (string | number)[] = []): never => {
        context.issues.push({ code: "custom", message, path, input: undefined });
        return z.NEVER;
      };
      if (value === undefined) return fail("received undefined");
      if (!Array.isArray(value)) return fail("expected an array of token ids");
      if (value.length > TOKENS_MAX) return fail(`at most ${TOKENS_MAX} tokens`);
      const wrong = value.findIndex((id) => !Number.isInteger(id) || id < 0);
      return wrong < 0 ? value : fail("expected a token id, a whole number from 0", [wrong]);
    }),
});

export const detokenizeResponse = z.object({ prompt: z.string(), content: z.string() });
