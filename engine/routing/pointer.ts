/**
 * Where something stands in a body, as far as that may be said: a pointer is evidence, and evidence is shown and kept. It
 * consists of names that the interface gives and of places in lists. Where a client's own names begin, it ends.
 */

/** A place, and whether what is inside it is told apart. */
export interface Spot {
  /** JSON Pointer (RFC 6901). */
  readonly where: string;
  /** The pointer goes no deeper, however deep the value goes. */
  readonly ends: boolean;
}

/** Names that the OpenAI interface gives, none of which is text of a client. None needs an escape. */
const NAMES: ReadonlySet<string> = new Set(
  `messages role content name tool_calls tool_call_id function_call function id index type text refusal reasoning_content
  image_url url detail input_audio data format file file_id file_data filename audio annotations
  prompt suffix echo best_of stop seed model n user safety_identifier prompt_cache_key metadata data_class data_source
  tools functions tool_choice allowed_tools mode parallel_tool_calls description parameters arguments strict custom input
  response_format json_schema schema prediction modalities voice
  max_tokens max_completion_tokens temperature top_p top_k min_p frequency_penalty presence_penalty repetition_penalty
  logit_bias logprobs top_logprobs stream stream_options include_usage store service_tier reasoning_effort verbosity
  web_search_options search_context_size user_location`.split(/\s+/),
);
/** What stands inside these is named by the client. */
const LAST: ReadonlySet<string> = new Set(
  "metadata parameters arguments input schema logit_bias user_location".split(" "),
);
const INDEX = /^(?:0|[1-9][0-9]{0,5})$/;
const INDEX_MAX = 999_999;
const WHOLE: Spot = { where: "", ends: false };

/** Of a field of the body itself. */
export const atField = (name: string): Spot => fieldOf(WHOLE, name);

export function fieldOf({ where, ends }: Spot, name: string): Spot {
  if (ends || !NAMES.has(name)) return { where, ends: true };
  return { where: `${where}/${name}`, ends: LAST.has(name) };
}

/** Only of a true list: a field's name may look like a place in one, and be somebody's number. */
export const entryOf = ({ where, ends }: Spot, index: number): Spot =>
  ends || index > INDEX_MAX ? { where, ends: true } : { where: `${where}/${index}`, ends: false };

/** Whether a pointer holds nothing but such names and places. */
export const isTextless = (where: string): boolean =>
  where === "" ||
  (where.startsWith("/") &&
    where
      .slice(1)
      .split("/")
      .every((name) => NAMES.has(name) || INDEX.test(name)));
