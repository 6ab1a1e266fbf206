/**
 * A text as hashed features, for training the topic model and for asking it: words and pairs of words, pieces of words
 * (3 to 5 characters), 1 to 3 characters in a row of scripts that put no spaces between words, and the shape of a
 * line's beginning, which gives chat logs and code away. Case does not count, but that a word is written like a name is a
 * feature of its own and in pairs with its neighbours: "dear NAME" stands for all the names that training has not seen.
 *
 * Text is cut into segments of about a sentence, because a linear model can then score any run of segments by adding.
 * Nothing here depends on a locale or a Unicode table that changes, but NFKC and lower case.
 */

/** Features are counted apart in each group, so that a word's many pieces do not outweigh the word. */
export const GROUPS = ["word", "piece", "character", "line"] as const;
const WORD = 0;
const PIECE = 1;
const CHARACTER = 2;
const LINE = 3;

export const BUCKETS_LOG2 = 18;
const MASK = (1 << BUCKETS_LOG2) - 1;

/** UTF-16 units. A segment ends at the first end of a sentence or line after the first, and at the latest at the second. */
const SEGMENT_MIN = 60;
const SEGMENT_MAX = 400;
/** No unit makes more features than this in one group. */
const FEATURES_PER_UNIT = 3;
/** A longer word is cut: its pieces say nothing new. */
const WORD_MAX = 40;

/** Of a UTF-16 unit. */
const SPACE = 0;
const LETTER = 1;
const DIGIT = 2;
/** Of a script without spaces between words. */
const SPACELESS = 3;
const MARK = 4;
const NEWLINE = 5;
/** Inside a word and no part of it: apostrophes, soft hyphens, zero-width characters. */
const IGNORED = 6;
const CLASS = classTable();

/** Buckets of one segment, by group. One reader serves a whole text: `read` overwrites what was there. */
export class SegmentFeatures {
  /** In `buckets[group]`, that many are of this segment. */
  readonly counts = new Int32Array(GROUPS.length);
  readonly buckets: readonly Int32Array[] = GROUPS.map(
    () => new Int32Array(FEATURES_PER_UNIT * (SEGMENT_MAX + 2) + 8),
  );
  /** The word being read, between two border marks. */
  readonly #word = new Int32Array(WORD_MAX + 2);
  #wordLength = 0;
  #previousWord = 0;
  /** Whether the word being read is written like a name: one capital, then small letters. */
  #named = false;
  /** How many words in a row before this one were. */
  #names = 0;

  /** `text` is what `foldText` gave; `from` and `to` are what `segmentEnd` gave. */
  read(text: string, from: number, to: number): void {
    this.counts.fill(0);
    this.#wordLength = 0;
    this.#previousWord = 0;
    this.#names = 0;
    let runs = 0;
    let lastClass = NEWLINE;
    let lineStart = from === 0 || text.charCodeAt(from - 1) === 10;
    for (let at = from; at < to; at += 1) {
      const written = text.charCodeAt(at);
      const unit = LOWER[written] as number;
      const kind = CLASS[unit] as number;
      if (kind === IGNORED) continue;
      if (lineStart) this.#line(text, at, to);
      lineStart = kind === NEWLINE;
      if (kind === LETTER || kind === DIGIT) {
        if (this.#wordLength === WORD_MAX) this.#endWord();
        this.#wordLength += 1;
        if (this.#wordLength === 1) this.#named = written !== unit;
        else if (written !== unit) this.#named = false;
        this.#word[this.#wordLength] = kind === DIGIT ? 48 : unit;
      } else {
        if (this.#wordLength > 0) this.#endWord();
        runs = kind === SPACELESS ? (lastClass === SPACELESS ? runs + 1 : 1) : 0;
        if (kind === SPACELESS) this.#characters(text, at, Math.min(runs, 3));
        else if (kind === MARK) this.#add(WORD, hashPair(0x5bd1e995, unit));
      }
      lastClass = kind;
    }
    if (this.#wordLength > 0) this.#endWord();
  }

  #add(group: number, hash: number): void {
    const count = this.counts[group] as number;
    (this.buckets[group] as Int32Array)[count] = finish(hash + group) & MASK;
    this.counts[group] = count + 1;
  }

  #endWord(): void {
    const word = this.#word;
    const length = this.#wordLength;
    this.#wordLength = 0;
    word[0] = 1;
    word[length + 1] = 2;
    let whole = SEED;
    for (let at = 1; at <= length; at += 1) whole = hashPair(whole, word[at] as number);
    this.#add(WORD, whole);
    if (this.#previousWord !== 0) this.#add(WORD, hashPair(this.#previousWord, whole));
    if (this.#named) {
      this.#names = Math.min(this.#names + 1, 3);
      this.#add(WORD, hashPair(NAME, this.#names));
      if (this.#names === 1 && this.#previousWord !== 0) this.#add(WORD, hashPair(this.#previousWord, NAME));
    } else {
      if (this.#names > 0) this.#add(WORD, hashPair(NAME, whole));
      this.#names = 0;
    }
    this.#previousWord = whole;
    // By hand what `#add` does: most features are pieces.
    const pieces = this.buckets[PIECE] as Int32Array;
    let count = this.counts[PIECE] as number;
    // The last three-piece starts two before the closing border.
    for (let start = 0; start + 3 <= length + 2; start += 1) {
      let piece = hashPair(hashPair(SEED, word[start] as number), word[start + 1] as number);
      const end = Math.min(start + 5, length + 2);
      for (let at = start + 2; at < end; at += 1) {
        piece = hashPair(piece, word[at] as number);
        pieces[count] = finish(piece + PIECE) & MASK;
        count += 1;
      }
    }
    this.counts[PIECE] = count;
  }

  /** The `count` runs of characters that end at `at`. */
  #characters(text: string, at: number, count: number): void {
    let hash = SEED;
    for (let back = 0; back < count; back += 1) {
      hash = hashPair(hash, text.charCodeAt(at - back));
      this.#add(CHARACTER, hash);
    }
  }

  /** Kinds of characters up to the first mark that ends a speaker or a time stamp, runs as one. */
  #line(text: string, from: number, to: number): void {
    const end = Math.min(from + LINE_HEAD, to);
    let hash = SEED;
    let last = -1;
    let symbols = 0;
    for (let at = from; at < end; at += 1) {
      const unit = text.charCodeAt(at);
      const kind = CLASS[unit] as number;
      if (kind === NEWLINE) break;
      if (kind === IGNORED || (kind === last && kind !== MARK)) continue;
      hash = hashPair(hash, kind === MARK ? unit : kind);
      last = kind;
      symbols += 1;
      if (symbols === 3) this.#add(LINE, hashPair(hash, 3));
      if (unit === COLON || unit === 0xff1a || unit === CLOSING_ANGLE || unit === CLOSING_BRACKET) {
        this.#add(LINE, hash);
      }
    }
  }
}

const LINE_HEAD = 32;
const COLON = 58;
const CLOSING_ANGLE = 62;
const CLOSING_BRACKET = 93;
const SEED = 0x2f0b4a27;
/** Stands for any word that is written like a name. */
const NAME = 0x1b873593;
/** Small letters. Those that would be several units stay as they are. */
const LOWER = Uint16Array.from({ length: 0x10000 }, (_, unit) => {
  const lower = String.fromCharCode(unit).toLowerCase();
  return lower.length === 1 ? lower.charCodeAt(0) : unit;
});

/** What both training and serving do to a text first. Compatibility forms say nothing about a topic. */
export const foldText = (text: string): string => text.normalize("NFKC");

/** Where the segment that begins at `from` ends, exclusive; `text.length` for the last one. */
export function segmentEnd(text: string, from: number): number {
  const limit = Math.min(from + SEGMENT_MAX, text.length);
  let space = -1;
  for (let at = from; at < limit; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit === 32) space = at;
    if (at - from + 1 >= SEGMENT_MIN && endsSentence(unit)) return at + 1;
  }
  if (limit === text.length) return limit;
  return space > from + SEGMENT_MIN ? space + 1 : limit;
}

/** Line feed, full stop, question and exclamation mark, and the Chinese full stop (NFKC makes the others ASCII). */
const endsSentence = (unit: number): boolean =>
  unit === 10 || unit === 46 || unit === 63 || unit === 33 || unit === 0x3002;

/** One step of FNV-1a over a whole unit. */
const hashPair = (hash: number, unit: number): number => Math.imul(hash ^ unit, 0x01000193) ^ (hash >>> 15);

/** Spreads all bits into the low ones (the finaliser of MurmurHash3). */
function finish(hash: number): number {
  let mixed = hash ^ (hash >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

function classTable(): Uint8Array {
  const table = new Uint8Array(0x10000).fill(LETTER);
  const set = (from: number, to: number, kind: number): void => {
    table.fill(kind, from, to + 1);
  };
  set(0x00, 0x20, SPACE);
  set(0x21, 0x2f, MARK);
  set(0x30, 0x39, DIGIT);
  set(0x3a, 0x40, MARK);
  set(0x5b, 0x60, MARK);
  set(0x7b, 0xa9, MARK);
  set(0xab, 0xb4, MARK);
  set(0xb6, 0xb9, MARK);
  set(0xbb, 0xbf, MARK);
  set(0x2000, 0x206f, MARK);
  set(0x20a0, 0x2bff, MARK);
  set(0x3000, 0x303f, MARK);
  // Kana, Bopomofo, Han, Hangul, compatibility Han; both halves of what lies beyond 16 bits.
  set(0x3040, 0x31ff, SPACELESS);
  set(0x3400, 0x9fff, SPACELESS);
  set(0xac00, 0xd7a3, SPACELESS);
  set(0xd800, 0xdfff, SPACELESS);
  set(0xf900, 0xfaff, SPACELESS);
  set(0xfe30, 0xfe6f, MARK);
  set(0xff00, 0xff0f, MARK);
  for (const unit of [0x09, 0xa0, 0x2002, 0x2003, 0x2009, 0x3000]) table[unit] = SPACE;
  for (const unit of [0x0a, 0x0d, 0x2028, 0x2029]) table[unit] = NEWLINE;
  for (const unit of [0x27, 0x2018, 0x2019, 0xad, 0x200b, 0x200c, 0x200d, 0x2060, 0xfe0f, 0xfeff])
    table[unit] = IGNORED;
  return table;
}
