/**
 * SentencePiece's merging, written as BPE merges.
 *
 * SentencePiece joins, again and again, the two neighbours whose joined text has the best score, the leftmost of
 * equals. A piece can arise from every cut of it into two symbols, a symbol being another piece or a single character.
 * So the merges are all such cuts of all pieces, and the rank of a merge is the rank of its score. Pieces of equal score
 * share a rank: only then does "leftmost" decide between them, as it does there. tokenizer.json knows no shared ranks
 * (a merge's place is its rank), hence the list beside it.
 */

export interface ScoredMerges {
  /** Pairs in rank order. */
  readonly merges: readonly (readonly [string, string])[];
  /** The rank of each merge; never falls. */
  readonly ranks: readonly number[];
}

export interface Piece {
  readonly text: string;
  readonly score: number;
}

/** Cutting is quadratic in a piece's length; a vocabulary of 262,144 takes some 60 million characters in all. */
const CUT_CHARACTERS_MAX = 400_000_000;

/** undefined: the pieces are so long that they cannot be a vocabulary. Texts are unique. */
export function scoredMerges(pieces: readonly Piece[]): ScoredMerges | undefined {
  const cost = pieces.reduce((sum, { text }) => sum + text.length * text.length, 0);
  if (cost > CUT_CHARACTERS_MAX) return undefined;
  const known = new Set(pieces.map(({ text }) => text));
  const byScore = [...pieces].sort((a, b) => b.score - a.score);
  const merges: (readonly [string, string])[] = [];
  const ranks: number[] = [];
  let rank = -1;
  let score = Number.NaN;
  for (const piece of byScore) {
    if (piece.score !== score) rank += 1;
    score = piece.score;
    for (const cut of cuts(piece.text, known)) {
      merges.push(cut);
      ranks.push(rank);
    }
  }
  return { merges, ranks };
}

function cuts(text: string, known: ReadonlySet<string>): (readonly [string, string])[] {
  const found: (readonly [string, string])[] = [];
  let at = 0;
  for (const character of text) {
    if (at > 0) {
      const left = text.slice(0, at);
      const right = text.slice(at);
      if (isSymbol(left, known) && isSymbol(right, known)) found.push([left, right]);
    }
    at += character.length;
  }
  return found;
}

const isSymbol = (text: string, known: ReadonlySet<string>): boolean =>
  isOneCharacter(text) || known.has(text);

function isOneCharacter(text: string): boolean {
  return text.length === 1 || (text.length === 2 && (text.codePointAt(0) ?? 0) > 0xffff);
}
