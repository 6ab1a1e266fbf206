/** What the local engine needs of a tokenizer; the models folder provides it. */
import type { ChatMessage } from "../core/request.ts";

export interface TextCodec {
  /** `addSpecial`: with the tokens that the model wants around every text (BOS). */
  encode(text: string, options: { readonly addSpecial: boolean }): readonly number[];
  /** The whole text at once; special tokens left out. */
  decode(tokens: readonly number[]): string;
  /** The bytes that a token adds to a text. Shared: not to be written to. */
  tokenBytes(token: number): Uint8Array;
  isSpecial(token: number): boolean;
  /** The first token of a text carries a space that the text does not have (SentencePiece). */
  readonly stripsFirstSpace: boolean;
  /** Messages as the model's template writes them, up to where the answer begins. Throws WeirError naming `messages`. */
  renderChat(messages: readonly ChatMessage[], tools: readonly unknown[] | undefined): string;
}
