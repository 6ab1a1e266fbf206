/** Where each token of a prompt stands in the prompt's text, which may be the client's own and not what the tokens spell. */
import type { TokenId } from "../core/brand.ts";
import { Detokenizer, describeToken } from "./detokenizer.ts";
import type { TextCodec } from "./text-codec.ts";

/**
 * Characters (not UTF-16 units) before each token's text; never falling, at most the text's length. A special token takes
 * its place where the client wrote it, and none where the tokenizer added it. Where a tokenizer changes the text that it
 * is given (another case, another form of a character), what is behind the change is near its place.
 */
export function promptOffsets(
  text: string,
  tokens: readonly TokenId[],
  codec: Pick<TextCodec, "tokenBytes" | "isSpecial" | "stripsFirstSpace">,
): readonly number[] {
  const tokenBytes = (token: TokenId): Uint8Array => codec.tokenBytes(token);
  const all = [...text];
  const detokenizer = new Detokenizer(tokenBytes, {
    isSpecial: (token) => codec.isSpecial(token),
    // The client's text may begin with a space of its own, which then comes as the second one.
    stripFirstSpace: codec.stripsFirstSpace,
  });
  let at = 0;
  return tokens.map((token) => {
    const piece = [...detokenizer.push(token)];
    const start = at + detokenizer.brokenBefore;
    at += piece.length;
    if (codec.isSpecial(token)) {
      const name = [...describeToken(tokenBytes, token).text];
      if (name.every((character, index) => all[at + index] === character)) at += name.length;
    }
    at = Math.min(at, all.length);
    return Math.min(start, all.length);
  });
}
