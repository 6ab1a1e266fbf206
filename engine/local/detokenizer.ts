/**
 * Tokens in, text out, as it becomes certain: a token may hold half a character, so bytes wait until the character is
 * whole, or certainly broken. Together, all that push and flush return is what a TextDecoder gives for all bytes at once.
 */
import type { TokenId } from "../core/brand.ts";

export interface DetokenizerOptions {
  /** Special tokens give no text. Default: there are none. */
  readonly isSpecial?: (token: TokenId) => boolean;
  /**
   * The text's first space is dropped: SentencePiece writes one in front of every text. For a whole text only; what
   * continues a prompt keeps it. Default false.
   */
  readonly stripFirstSpace?: boolean;
}

/** A byte order mark stays in the text, as everything else that the model said. */
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const NOTHING = new Uint8Array(0);

export class Detokenizer {
  readonly #tokenBytes: (token: TokenId) => Uint8Array;
  readonly #isSpecial: (token: TokenId) => boolean;
  /** Zero to three bytes: the start of a character that may still become whole. */
  #pending: Uint8Array = NOTHING;
  #mayStrip: boolean;
  #broken = 0;

  constructor(tokenBytes: (token: TokenId) => Uint8Array, options: DetokenizerOptions = {}) {
    this.#tokenBytes = tokenBytes;
    this.#isSpecial = options.isSpecial ?? (() => false);
    this.#mayStrip = options.stripFirstSpace ?? false;
  }

  /** Bytes of the tokens so far whose text is not certain yet: 0 to 3. */
  get pendingBytes(): number {
    return this.#pending.length;
  }

  /**
   * Characters at the start of the last push's text that are not that token's: 1 (a U+FFFD) where it broke a character
   * that tokens before it began, else 0.
   */
  get brokenBefore(): number {
    return this.#broken;
  }

  /** The text that this token makes certain: whole characters, perhaps none. */
  push(token: TokenId): string {
    this.#broken = 0;
    if (this.#isSpecial(token)) return "";
    const own = this.#tokenBytes(token);
    const bytes = this.#pending.length === 0 ? own : joined(this.#pending, own);
    if (this.#pending.length > 0 && own.length > 0 && breaks(this.#pending, own)) this.#broken = 1;
    const certain = bytes.length - unfinishedTail(bytes);
    this.#pending = certain === bytes.length ? NOTHING : bytes.slice(certain);
    return this.#strip(utf8.decode(bytes.subarray(0, certain)));
  }

  /** The end of the text: an unfinished character becomes U+FFFD. */
  flush(): string {
    const text = utf8.decode(this.#pending);
    this.#pending = NOTHING;
    return this.#strip(text);
  }

  #strip(text: string): string {
    if (!this.#mayStrip || text === "") return text;
    this.#mayStrip = false;
    return text.startsWith(" ") ? text.slice(1) : text;
  }
}

/** The text of one token alone, broken characters as U+FFFD; also of special tokens. For log-probabilities. */
export function describeToken(
  tokenBytes: (token: TokenId) => Uint8Array,
  token: TokenId,
): { readonly token: TokenId; readonly text: string; readonly bytes: readonly number[] } {
  const bytes = tokenBytes(token);
  return { token, text: utf8.decode(bytes), bytes: Array.from(bytes) };
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/**
 * How many of the last bytes are the start of a character that more bytes may finish. Everything before them is certain:
 * no later byte changes how it is decoded.
 */
function unfinishedTail(bytes: Uint8Array): number {
  for (let tail = 1; tail <= 3 && tail <= bytes.length; tail += 1) {
    const byte = bytes[bytes.length - tail] as number;
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue; // a continuation: the byte that leads it stands further left
    return tail < lengthFrom(byte) &&
      (tail === 1 || mayFollow(byte, bytes[bytes.length - tail + 1] as number))
      ? tail
      : 0;
  }
  return 0;
}

/** `pending` is the start of a character that the next byte neither ends nor goes on with. */
function breaks(pending: Uint8Array, next: Uint8Array): boolean {
  const byte = next[0] as number;
  const first = pending.length === 1;
  return byte < 0x80 || byte > 0xbf || (first && !mayFollow(pending[0] as number, byte));
}

/** Bytes of a character that starts with this one; 0 where none does (RFC 3629). */
function lengthFrom(lead: number): number {
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

/** Second bytes that would make an overlong form, a surrogate, or a value above U+10FFFF break the character at once. */
function mayFollow(lead: number, second: number): boolean {
  if (lead === 0xe0) return second >= 0xa0;
  if (lead === 0xed) return second <= 0x9f;
  if (lead === 0xf0) return second >= 0x90;
  if (lead === 0xf4) return second <= 0x8f;
  return true;
}
