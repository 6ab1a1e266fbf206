/**
 * Private requests of every shape that a client can think of, right ones and wrong ones. Each holds a canary that says
 * which of them it came from. What they share: nothing that serves them may repeat it, and no cloud may answer them.
 */

/** Values of the texts beside the canaries. */
export const RESIDENT_ID = "11010519491231002X";
export const PAY = "18,000 yuan";

export const CHAT = "/v1/chat/completions";
export const COMPLETIONS = "/v1/completions";
const EXPLAIN = "/v1/route/explain";

/** Private for several reasons. */
export const privateText = (of: string): string =>
  `CANARY${of}, resident id ${RESIDENT_ID}, was given a written warning and earns ${PAY} a month.`;

/** Another one each time: a question that was once asked with private data stays in the house. */
export const publicQuestion = (of: string): string => `Which river flows through the town of ${of}?`;

export const says = (content: unknown): Readonly<Record<string, unknown>> => ({
  messages: [{ role: "user", content }],
  max_tokens: 2,
});

export interface PrivateRequest {
  readonly name: string;
  readonly path: string;
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Of the answer. */
  readonly status: number;
}

export interface Bounds {
  /** Larger bodies are refused. */
  readonly bodyBytesMax: number;
  /** Larger ones are classified on a thread. */
  readonly inlineBytesMax: number;
}

type Shape = Partial<Omit<PrivateRequest, "name">>;

interface Given extends Bounds {
  readonly text: string;
  /** The canary alone. */
  readonly word: string;
  /** A body with nothing private in it. */
  readonly open: Readonly<Record<string, unknown>>;
}

/** `served`: a chat to CHAT that is answered with 200, unless a shape says otherwise. */
export const privateRequests = (bounds: Bounds): readonly PrivateRequest[] =>
  Object.entries({ ...WHERE_IT_STANDS, ...WHAT_IS_WRONG, ...OTHER_ROUTES, ...AROUND_THE_BODY }).map(
    ([name, shape]) => {
      const given = { text: privateText(name), word: `CANARY${name}`, open: says(publicQuestion(name)) };
      return { name, path: CHAT, status: 200, ...shape({ ...bounds, ...given }) };
    },
  );

const WHERE_IT_STANDS: Readonly<Record<string, (given: Given) => Shape>> = {
  Chat: ({ text }) => ({ body: says(text) }),
  Stream: ({ text }) => ({ body: { ...says(text), stream: true } }),
  Parts: ({ text }) => ({ body: says([{ type: "text", text }]) }),
  System: ({ text }) => ({ body: talk({ role: "system", content: text }) }),
  Name: ({ text, word }) => ({ body: talk({ role: "user", name: word, content: text }) }),
  Call: ({ text }) => ({ body: talk(called(JSON.stringify({ text }))) }),
  BrokenCall: ({ text }) => ({ body: talk(called(`{"a": ${text}`)) }),
  Result: ({ text }) => ({ body: talk(called("{}"), { role: "tool", tool_call_id: "c", content: text }) }),
  Tools: ({ text, open }) => ({
    body: {
      ...open,
      tools: [{ type: "function", function: { name: "f", description: text, parameters: {} } }],
    },
  }),
  Metadata: ({ text, open }) => ({ body: { ...open, metadata: { note: text } } }),
  Label: ({ word, open }) => ({ body: { ...open, metadata: { data_class: word, data_source: word } } }),
  User: ({ text, open }) => ({ body: { ...open, user: text } }),
  Stop: ({ text, word }) => ({ body: { ...says(text), stop: [word] } }),
  Unknown: ({ text, word, open }) => ({ body: { ...open, hint: { [word]: text }, [word]: text } }),
  Encoded: ({ text }) => ({ body: says(Buffer.from(text).toString("base64")) }),
  Thread: ({ text, open, inlineBytesMax }) => ({
    body: { ...open, notes: padded(text, 3 * inlineBytesMax) },
  }),
  ThreadStream: ({ text, open, inlineBytesMax }) => ({
    body: { ...open, notes: padded(text, 9 * inlineBytesMax), stream: true },
  }),
  Completion: ({ text }) => ({ path: COMPLETIONS, body: { prompt: text, max_tokens: 2 } }),
  Prompts: ({ text }) => ({
    path: COMPLETIONS,
    body: { prompt: ["Good morning", text], max_tokens: 2, stream: true },
  }),
  Echo: ({ text }) => ({ path: COMPLETIONS, body: { prompt: text, max_tokens: 2, echo: true, logprobs: 2 } }),
};

const WHAT_IS_WRONG: Readonly<Record<string, (given: Given) => Shape>> = {
  Cloud: ({ text }) => ({ body: { ...says(text), model: "double/large" }, status: 403 }),
  CloudStream: ({ text }) => ({ body: { ...says(text), model: "double/large", stream: true }, status: 403 }),
  Model: ({ text, word }) => ({ body: { ...says(text), model: word }, status: 404 }),
  CloudModel: ({ text, word }) => ({ body: { ...says(text), model: `double/${word}` }, status: 404 }),
  Image: ({ word }) => ({
    body: says([{ type: "image_url", image_url: { url: `https://example.org/${word}` } }]),
    status: 400,
  }),
  BadJson: ({ text }) => ({ body: `{"messages": [{"role": "user", "content": "${text}"}`, status: 400 }),
  BareJson: ({ word }) => ({ body: `{"messages": ${word}}`, status: 400 }),
  JsonText: ({ text }) => ({ body: JSON.stringify(text), status: 400 }),
  PlainText: ({ text }) => ({ body: text, headers: { "content-type": "text/plain" }, status: 415 }),
  Role: ({ text, word }) => ({ body: { messages: [{ role: word, content: text }] }, status: 400 }),
  Messages: ({ text }) => ({ body: { messages: text }, status: 400 }),
  Content: ({ text }) => ({ body: says({ text }), status: 400 }),
  Numbers: ({ text }) => ({ body: { ...says(text), temperature: text, n: text }, status: 400 }),
  Bias: ({ text, word }) => ({ body: { ...says(text), logit_bias: { [word]: 1 } }, status: 400 }),
  Unsupported: ({ text }) => ({ body: { ...says(text), guided_regex: text }, status: 400 }),
  Deep: ({ text }) => ({ body: `{"messages":${"[".repeat(5000)}${JSON.stringify(text)}`, status: 400 }),
  Context: ({ text, inlineBytesMax }) => ({ body: says(padded(text, 2 * inlineBytesMax)), status: 400 }),
  TooLarge: ({ text, bodyBytesMax }) => ({ body: says(padded(text, bodyBytesMax)), status: 413 }),
};

const OTHER_ROUTES: Readonly<Record<string, (given: Given) => Shape>> = {
  Explain: ({ text }) => ({ path: EXPLAIN, body: says(text) }),
  ExplainTypes: ({ text }) => ({ path: EXPLAIN, body: { messages: text, model: { [text]: text } } }),
  ExplainLarge: ({ text, inlineBytesMax }) => ({
    path: EXPLAIN,
    body: says(padded(text, 2 * inlineBytesMax)),
  }),
  ExplainBad: ({ text }) => ({ path: EXPLAIN, body: `{"messages": "${text}`, status: 400 }),
  Tokenize: ({ text }) => ({ path: "/tokenize", body: { prompt: text } }),
  TokenizeModel: ({ text, word }) => ({
    path: "/tokenize",
    body: { model: word, prompt: text },
    status: 404,
  }),
  TokenizeLong: ({ text, inlineBytesMax }) => ({
    path: "/tokenize",
    body: { prompt: padded(text, 20 * inlineBytesMax) },
    status: 400,
  }),
  Detokenize: ({ text }) => ({ path: "/detokenize", body: { tokens: [text] }, status: 400 }),
  Path: ({ text, word }) => ({
    path: `/v1/${word}/${encodeURIComponent(text)}`,
    body: says(text),
    status: 404,
  }),
  BadPath: ({ word }) => ({ path: `/v1/models/%E0%A4${word}`, status: 400 }),
  ModelPath: ({ word }) => ({ path: `/v1/models/${word}?note=${word}`, status: 404 }),
  DocsPath: ({ word }) => ({ path: `/docs/${word}`, status: 404 }),
  Method: ({ text, word }) => ({ path: `${CHAT}?${word}`, method: "PUT", body: says(text), status: 405 }),
};

const AROUND_THE_BODY: Readonly<Record<string, (given: Given) => Shape>> = {
  ClassHeader: ({ word, open }) => ({ body: open, headers: { "x-weir-class": word } }),
  SourceHeader: ({ word, open }) => ({ body: open, headers: { "x-weir-source": word } }),
  AgentHeader: ({ word, open }) => ({ body: open, headers: { "x-weir-agent": word } }),
  Key: ({ text, word }) => ({
    body: says(text),
    headers: { authorization: `Bearer weir-${word}` },
    status: 401,
  }),
  NoBearer: ({ text, word }) => ({ body: says(text), headers: { authorization: `${word} x` }, status: 401 }),
  Basic: ({ word }) => ({
    path: "/metrics",
    headers: { authorization: `Basic ${Buffer.from(`${word}:${word}`).toString("base64")}` },
    status: 401,
  }),
};

const talk = (...messages: readonly object[]): object => ({
  messages: [{ role: "user", content: "Go on." }, ...messages],
  max_tokens: 2,
});

const called = (text: string): object => ({
  role: "assistant",
  content: null,
  tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: text } }],
});

/** In the middle of harmless text, so many bytes of it at least. */
function padded(text: string, bytes: number): string {
  const filler = "The river rises in the north and flows into the sea. ";
  const half = filler.repeat(Math.ceil(bytes / 2 / filler.length));
  return `${half}${text} ${half}`;
}
