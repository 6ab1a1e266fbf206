/** The body of POST /v1/completions. */
import { z } from "zod";
import { sharedFields } from "./fields.ts";

export interface CompletionBounds {
  readonly choicesMax: number;
  readonly promptsMax: number;
}

export type CompletionPrompt =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "tokens"; readonly tokens: readonly number[] };

export const completionBody = (bounds: CompletionBounds) =>
  z.object({
    ...sharedFields(bounds),
    prompt: promptField(bounds.promptsMax),
    max_tokens: z
      .int()
      .min(0)
      .max(2 ** 31 - 1)
      .default(16)
      .describe("0 is allowed with echo: the prompt is scored."),
    best_of: z.int().min(0).max(128).optional().describe("Only the value of n, or 1, is supported."),
    echo: z.boolean().default(false).describe("Put the prompt before the answer."),
    logprobs: z.int().min(0).max(5).optional().describe("Alternatives to report per token."),
  });

export type CompletionBody = z.output<ReturnType<typeof completionBody>>;

const TOKEN_LIST = { type: "array", items: { type: "integer" }, minItems: 1 };

/** A hand-written parser, since a prompt of token ids may be long: it stops at the first wrong element. */
function promptField(promptsMax: number) {
  return z
    .unknown()
    .meta({
      description: "Text, a list of texts, token ids, or a list of lists of token ids.",
      anyOf: [
        { type: "string" },
        { type: "array", items: { type: "string" }, minItems: 1, maxItems: promptsMax },
        TOKEN_LIST,
        { type: "array", items: TOKEN_LIST, minItems: 1, maxItems: promptsMax },
      ],
    })
    .transform((value, context): readonly CompletionPrompt[] => {
      const fail = (message: string, path: (string | number)[] = []): never => {
        context.issues.push({ code: "custom", message, path, input: undefined });
        return z.NEVER;
      };
      if (value === undefined) return fail("received undefined");
      if (typeof value === "string") return [{ kind: "text", text: value }];
      if (!Array.isArray(value))
        return fail("expected a string, an array of strings, or an array of token ids");
      if (value.length === 0) return fail("expected at least one prompt or token, the array is empty");
      if (typeof value[0] === "number") return tokenPrompts([value], false, fail);
      if (value.length > promptsMax)
        return fail(`at most ${promptsMax} prompts in one request, there are ${value.length}`);
      if (Array.isArray(value[0])) return tokenPrompts(value, true, fail);
      const wrong = value.findIndex((text) => typeof text !== "string");
      if (wrong >= 0) return fail("expected a string like the elements before it", [wrong]);
      return value.map((text: string) => ({ kind: "text", text }));
    });
}

function tokenPrompts(
  lists: readonly unknown[],
  nested: boolean,
  fail: (message: string, path: (string | number)[]) => never,
): readonly CompletionPrompt[] {
  for (const [row, list] of lists.entries()) {
    const at = nested ? [row] : [];
    if (!Array.isArray(list)) return fail("expected an array of token ids like the elements before it", at);
    if (list.length === 0) return fail("expected at least one token, the array is empty", at);
    const wrong = list.findIndex((id) => !Number.isInteger(id) || id < 0);
    if (wrong >= 0) return fail("expected a token id, a whole number from 0", [...at, wrong]);
  }
  return lists.map((tokens) => ({ kind: "tokens", tokens: tokens as readonly number[] }));
}
