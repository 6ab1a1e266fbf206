/** Texts of tokens that end an answer in the families that we read, whatever else a file calls its end token. */
export const END_OF_TURN_NAMES: ReadonlySet<string> = new Set([
  "</s>",
  "<|im_end|>",
  "<|endoftext|>",
  "<|end_of_text|>",
  "<|eot_id|>",
  "<|eom_id|>",
  "<|end|>",
  "<end_of_turn>",
]);
