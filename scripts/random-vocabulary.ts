/** A made-up byte-level vocabulary of any size: every byte, some English merges, fillers, and ChatML's marks. */
import type { GgufValue } from "../models/formats/gguf-writer.ts";
import { BYTE_CHARACTERS } from "../models/tokenizer/byte-level.ts";

/** Each makes a token of its two parts; later ones build on earlier ones. Ġ is the space of this alphabet. */
const MERGES = [
  ...[
    "Ġ t",
    "h e",
    "Ġt he",
    "i n",
    "r e",
    "Ġ a",
    "o n",
    "e r",
    "Ġ s",
    "a t",
    "e n",
    "Ġ w",
    "o r",
    "i t",
    "i s",
  ],
  ...[
    "Ġa n",
    "Ġan d",
    "Ġ o",
    "Ġo f",
    "e s",
    "Ġt o",
    "Ġ in",
    "in g",
    "e d",
    "Ġ is",
    "a l",
    "o u",
    "Ġ b",
    "Ġ c",
    "Ġ m",
  ],
  ...[
    "l l",
    "Ġt h",
    "Ġth at",
    "v er",
    "Ġ f",
    "Ġf or",
    "Ġ it",
    "Ġ h",
    "Ġh e",
    "s t",
    "l e",
    "Ġs he",
    "o w",
    "l d",
    "Ġ re",
  ],
] as const;

const END_OF_TEXT = "<|endoftext|>";
const START_OF_TURN = "<|im_start|>";
const END_OF_TURN = "<|im_end|>";

const CHAT_TEMPLATE =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

const TYPE_NORMAL = 1;
const TYPE_CONTROL = 3;

const VOCABULARY_MIN = 256 + MERGES.length + 3;

export interface VocabularyOptions {
  readonly size: number;
  /** GGUF's name for the way that text is cut into words before merging. */
  readonly pre: "gpt-2" | "smollm" | "qwen2";
}

/** The `tokenizer.*` part of a GGUF's metadata. */
export function randomVocabulary(options: VocabularyOptions): readonly (readonly [string, GgufValue])[] {
  const { size, pre } = options;
  if (size < VOCABULARY_MIN) throw new RangeError(`a vocabulary needs at least ${VOCABULARY_MIN} tokens`);
  const tokens = [...BYTE_CHARACTERS, ...MERGES.map((merge) => merge.replace(" ", ""))];
  // Fillers look like words, and no merge leads to them: they come out of a model, never out of a text.
  while (tokens.length < size - 3) tokens.push(`Ġx${tokens.length.toString(36)}`);
  const types = new Int32Array(size).fill(TYPE_NORMAL);
  types.fill(TYPE_CONTROL, tokens.length);
  tokens.push(END_OF_TEXT, START_OF_TURN, END_OF_TURN);
  return [
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: pre }],
    ["tokenizer.ggml.tokens", { type: "strings", value: tokens }],
    ["tokenizer.ggml.token_type", { type: "int32s", value: types }],
    ["tokenizer.ggml.merges", { type: "strings", value: MERGES }],
    ["tokenizer.ggml.bos_token_id", { type: "uint32", value: size - 3 }],
    ["tokenizer.ggml.eos_token_id", { type: "uint32", value: size - 1 }],
    ["tokenizer.ggml.padding_token_id", { type: "uint32", value: size - 3 }],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: false }],
    ["tokenizer.chat_template", { type: "string", value: CHAT_TEMPLATE }],
  ];
}
