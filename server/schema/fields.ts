/** Fields that completions and chat share, with OpenAI's ranges; vLLM's extras under vLLM's names. */
import { z } from "zod";

const INT32_MAX = 2 ** 31 - 1;
const STOP_CHARACTERS_MAX = 1000;
const STOP_MAX = 4;
const STOP_TOKENS_MAX = 256;
const BIASES_MAX = 1024;

const tokenNumber = z.int().min(0).max(INT32_MAX);

const stopString = z.string().min(1).max(STOP_CHARACTERS_MAX);

export const streamOptions = z.object({
  include_usage: z.boolean().nullish().describe("End the stream with a chunk that carries the usage."),
  include_obfuscation: z
    .boolean()
    .nullish()
    .describe("Pad the chunks of a chat so that their lengths tell less."),
});

export const sharedFields = (bounds: { readonly choicesMax: number }) => ({
  model: z
    .string()
    .min(1)
    .max(256)
    .default("auto")
    .describe("A name from /v1/models, local/NAME, BACKEND/NAME, an alias, or auto: the server chooses."),
  temperature: z.number().min(0).max(2).default(1).describe("0 = always the most likely token."),
  top_p: z.number().min(0).max(1).default(1),
  n: z.int().min(1).max(bounds.choicesMax).default(1).describe("Answers per prompt."),
  stop: z.union([stopString, z.array(stopString).max(STOP_MAX)]).default([]),
  seed: z
    .number()
    .refine(Number.isInteger, "expected a whole number")
    .optional()
    .meta({ type: "integer", description: "The same seed gives the same answer." }),
  presence_penalty: z.number().min(-2).max(2).default(0),
  frequency_penalty: z.number().min(-2).max(2).default(0),
  logit_bias: z
    .record(z.string(), z.number().min(-100).max(100))
    .refine((biases) => Object.keys(biases).length <= BIASES_MAX, `at most ${BIASES_MAX} tokens`)
    .default({})
    .describe("Token id to a number that is added to its logit."),
  stream: z.boolean().default(false),
  stream_options: z
    .unknown()
    .optional()
    .meta({ ...z.toJSONSchema(streamOptions), description: "Read only with stream: true." }),
  user: z.string().optional().describe("Accepted, without effect."),
  top_k: z.int().min(-1).max(INT32_MAX).default(0).describe("0 or -1 = off."),
  min_p: z.number().min(0).max(1).default(0).describe("0 = off."),
  repetition_penalty: z.number().min(0.01).max(100).default(1).describe("1 = off."),
  min_tokens: z.int().min(0).max(INT32_MAX).default(0),
  ignore_eos: z.boolean().default(false).describe("Do not stop at the model's end tokens."),
  stop_token_ids: z.array(tokenNumber).max(STOP_TOKENS_MAX).default([]),
  priority: z.int().min(-INT32_MAX).max(INT32_MAX).default(0).describe("Smaller runs sooner."),
  return_token_ids: z.boolean().default(false).describe("Add token_ids and prompt_token_ids to the answer."),
});

export type SharedBody = z.output<z.ZodObject<ReturnType<typeof sharedFields>>>;

/** Names that do nothing here and need no warning: they do not change what a client may expect of the answer. */
const QUIET_PARAMETERS: ReadonlySet<string> = new Set([
  "user",
  "metadata",
  "safety_identifier",
  "prompt_cache_key",
]);
/** The same for values that ask for what is done anyway. */
const QUIET_VALUES: Readonly<Record<string, readonly unknown[]>> = {
  store: [false],
  service_tier: ["auto", "default"],
};

export const isQuiet = (name: string, value: unknown): boolean =>
  QUIET_PARAMETERS.has(name) ||
  (Object.hasOwn(QUIET_VALUES, name) && QUIET_VALUES[name]?.includes(value) === true);

/** Parameters that promise something which this server cannot do: refused, since ignoring them would break the promise. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  suffix: "text is only continued, not filled in",
  functions: "send 'tools' instead",
  function_call: "send 'tool_choice' instead",
  audio: "answers are text only",
  web_search_options: "the server searches no web for a request",
  guided_json: "constrained answers are not supported yet by this server",
  guided_regex: "constrained answers are not supported yet by this server",
  guided_choice: "constrained answers are not supported yet by this server",
  guided_grammar: "constrained answers are not supported yet by this server",
  structured_outputs: "constrained answers are not supported yet by this server",
  grammar: "constrained answers are not supported yet by this server",
  json_schema: "constrained answers are not supported yet by this server",
};

/** The first unsupported parameter of a body and why, or undefined. Null and "" count as not set. */
export function unsupportedParameter(body: object): { param: string; why: string } | undefined {
  for (const [param, value] of Object.entries(body)) {
    const why = Object.hasOwn(UNSUPPORTED, param) ? UNSUPPORTED[param] : undefined;
    if (why !== undefined && value !== null && value !== "") return { param, why };
  }
  return undefined;
}
