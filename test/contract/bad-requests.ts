/** Requests that must be refused, each with the parameter that the refusal names. */
export interface BadRequest {
  readonly name: string;
  readonly path: string;
  readonly body?: object;
  /** Sent as it is, instead of `body` with a model. */
  readonly raw?: unknown;
  readonly status: number;
  readonly param: string | null;
  readonly code?: string;
  readonly message?: RegExp;
}

const user = { role: "user", content: "Hello" };

const completion = (
  name: string,
  body: object,
  param: string | null,
  more: Partial<BadRequest> = {},
): BadRequest => ({
  name,
  path: "/v1/completions",
  body: { prompt: "a", ...body },
  status: 400,
  param,
  ...more,
});

const chat = (
  name: string,
  body: object,
  param: string | null,
  more: Partial<BadRequest> = {},
): BadRequest => ({
  name,
  path: "/v1/chat/completions",
  body: { messages: [user], ...body },
  status: 400,
  param,
  ...more,
});

export const badRequests: readonly BadRequest[] = [
  completion("a string for max_tokens", { max_tokens: "5" }, "max_tokens", { message: /expected number/ }),
  completion("a fraction for max_tokens", { max_tokens: 1.5 }, "max_tokens"),
  completion("a negative max_tokens", { max_tokens: -1 }, "max_tokens"),
  completion("max_tokens 0 without echo", { max_tokens: 0 }, "max_tokens"),
  completion("a temperature above 2", { temperature: 2.1 }, "temperature"),
  completion("a text for stream", { stream: "yes" }, "stream"),
  completion("a top_p above 1", { top_p: 1.01 }, "top_p"),
  completion("n of 0", { n: 0 }, "n"),
  completion("a huge n", { n: 100_000 }, "n"),
  completion("best_of above n", { best_of: 3, n: 2 }, "best_of"),
  completion("too many log-probabilities", { logprobs: 6 }, "logprobs"),
  completion("five stop strings", { stop: ["a", "b", "c", "d", "e"] }, "stop"),
  completion("an empty stop string", { stop: ["a", ""] }, "stop.1"),
  completion("a number among the stop strings", { stop: ["a", 1] }, "stop.1"),
  completion("a bias on something that is no token", { logit_bias: { "1e1": 5 } }, "logit_bias.1e1"),
  completion("a bias outside of the vocabulary", { logit_bias: { "99999999": 5 } }, "logit_bias.99999999"),
  completion("a bias that is too strong", { logit_bias: { "3": 101 } }, "logit_bias.3"),
  completion("a suffix", { suffix: "end" }, "suffix"),
  completion("constrained decoding", { guided_json: {} }, "guided_json"),
  completion("stream_options of a wrong type", { stream: true, stream_options: 3 }, "stream_options"),
  completion(
    "include_usage of a wrong type",
    { stream: true, stream_options: { include_usage: "x" } },
    "stream_options.include_usage",
  ),
  completion("min_tokens above max_tokens", { min_tokens: 9, max_tokens: 8 }, "min_tokens"),
  completion(
    "a stop token outside of the vocabulary",
    { stop_token_ids: [0, 99_999_999] },
    "stop_token_ids.1",
  ),
  completion("an empty list of prompts", { prompt: [] }, "prompt"),
  completion("an empty list of tokens", { prompt: [[1], []] }, "prompt.1"),
  completion("a mixed list of prompts", { prompt: ["a", 1] }, "prompt.1"),
  completion("a mixed list of tokens", { prompt: [1, "a"] }, "prompt.1"),
  completion("a negative token", { prompt: [[1], [2, -1]] }, "prompt.1.1"),
  completion("a token outside of the vocabulary", { prompt: [1, 2, 99_999_999] }, "prompt.2"),
  completion("an object as prompt", { prompt: { text: "a" } }, "prompt"),
  completion("a missing prompt", { prompt: undefined }, "prompt", { message: /Missing required parameter/ }),
  completion("a prompt above the context length", { prompt: Array(100_000).fill(1) }, "prompt", {
    code: "context_length_exceeded",
    message: /100,?000.*\d/,
  }),
  chat("a missing list of messages", { messages: undefined }, "messages", { message: /Missing required/ }),
  chat("an empty list of messages", { messages: [] }, "messages"),
  chat("a message that is a text", { messages: ["hi"] }, "messages.0"),
  chat("an unknown role", { messages: [{ role: "wizard", content: "a" }] }, "messages.0.role"),
  chat("a number as content", { messages: [user, { role: "user", content: 3 }] }, "messages.1.content"),
  chat(
    "an image",
    {
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "a" },
            { type: "image_url", image_url: { url: "x" } },
          ],
        },
      ],
    },
    "messages.0.content.1",
    { message: /text only/ },
  ),
  chat("an assistant message without content", { messages: [{ role: "assistant" }] }, "messages.0.content"),
  chat(
    "a tool message without its call",
    { messages: [{ role: "tool", content: "a" }] },
    "messages.0.tool_call_id",
  ),
  chat("JSON mode", { response_format: { type: "json_object" } }, "response_format", {
    message: /not supported yet/,
  }),
  chat("a JSON schema", { response_format: { type: "json_schema", json_schema: {} } }, "response_format"),
  chat("a required tool call", { tool_choice: "required" }, "tool_choice"),
  chat("a named tool call", { tool_choice: { type: "function", function: { name: "f" } } }, "tool_choice"),
  chat("a tool of another type", { tools: [{ type: "custom", custom: { name: "x" } }] }, "tools.0.type"),
  chat("old-style functions", { functions: [{ name: "f" }] }, "functions"),
  chat("audio answers", { modalities: ["text", "audio"] }, "modalities.1"),
  chat("top_logprobs without logprobs", { top_logprobs: 2 }, "top_logprobs"),
  chat("too many top_logprobs", { logprobs: true, top_logprobs: 21 }, "top_logprobs"),
  chat("max_completion_tokens 0", { max_completion_tokens: 0 }, "max_completion_tokens"),
  { name: "a body that is a list", path: "/v1/completions", raw: [1], status: 400, param: null },
  { name: "a body that is null", path: "/v1/completions", raw: "null", status: 400, param: null },
  {
    name: "a body that is no JSON",
    path: "/v1/completions",
    raw: '{"model": "m",\n "prompt": secret}',
    status: 400,
    param: null,
    message: /^(?!.*secret).*line 2, column 12/,
  },
  {
    name: "an unknown model",
    path: "/v1/completions",
    raw: { model: "no/such-model", prompt: "a" },
    status: 404,
    param: "model",
    code: "model_not_found",
  },
  { name: "text to tokenize that is missing", path: "/tokenize", body: {}, status: 400, param: "prompt" },
  {
    name: "a wrong token to detokenize",
    path: "/detokenize",
    body: { tokens: [1, "a"] },
    status: 400,
    param: "tokens.1",
  },
  {
    name: "a path that is not there",
    path: "/v1/nothing",
    body: {},
    status: 404,
    param: null,
    code: "not_found",
  },
  {
    name: "a method that is not there",
    path: "/v1/models",
    body: {},
    status: 405,
    param: null,
    code: "method_not_allowed",
  },
];
