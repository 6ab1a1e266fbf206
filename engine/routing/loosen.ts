/** Spellings that keep a number or a word from machines and not from people, undone. The text is folded before. */

/** Signs that are looked for in a long text once, because what is not in it is in none of its stretches either. */
export const hintsOf = (text: string): number =>
  (ADDRESS_SIGN.test(text) ? ADDRESS : 0) | (NUMERAL_SIGN.test(text) ? NUMERALS : 0);

/**
 * Each gives another reading of a text, or the very same where there is none. All work within a few words. `hints`: of the
 * text or of a longer one that it is part of.
 */
export function loosened(text: string, hints: number): readonly string[] {
  const signs = signsOf(text, hints);
  if (signs === 0) return [];
  const spelled = (reading: string): string => ((signs & ADDRESS) === 0 ? reading : addresses(reading));
  const has = (sign: number): boolean => (signs & sign) !== 0;
  let plain = text;
  if (has(FIGURES)) {
    if (has(NUMERALS) || MORE_NUMERALS.test(text)) plain = numerals(text);
    // What has just become a digit may stand beside others that the signs say nothing of.
    if (has(SET_APART) || plain !== text || text.includes(MIDDLE_DOT)) plain = tight(plain);
  }
  const readings = [spelled(has(OVALS) || plain !== text ? ovals(plain) : plain)];
  if (has(FIGURES)) readings.push(rows(plain));
  if (has(LETTERS)) {
    for (const letters of leet(has(SPACED_OUT) ? joinedUp(text) : text)) readings.push(spelled(letters));
  }
  return [...new Set(readings)].filter((reading) => reading !== text);
}

/** Signs that a reading may differ: of figures in letters, of letters in figures or set apart, of an address in words. */
const FIGURES = 1;
const LETTERS = 2;
const ADDRESS = 4;
/** Of figures, more closely: numbers in words or Han; set apart one by one; in a token with what looks like them. */
const NUMERALS = 8;
const SET_APART = 16;
const OVALS = 32;
/** Of letters, more closely: each on its own. */
const SPACED_OUT = 64;

const FIGURE = 1;
const OVAL = 2;
const LETTER = 4;
const MARK = 8;
const GAP = 16;
const SIGN_KINDS = new Uint8Array(128);
SIGN_KINDS.fill(LETTER, 0x41, 0x5b).fill(LETTER, 0x61, 0x7b);
for (const figure of "0123456789") SIGN_KINDS[figure.charCodeAt(0)] = FIGURE;
for (const oval of "OolI|") SIGN_KINDS[oval.charCodeAt(0)] = OVAL;
for (const mark of "@$!") SIGN_KINDS[mark.charCodeAt(0)] = MARK;
for (const gap of " ._-*") SIGN_KINDS[gap.charCodeAt(0)] = GAP;

/** One look at each character: most texts have none of the signs, and are not read again. */
function signsOf(text: string, hints: number): number {
  let signs = (hints & ADDRESS) !== 0 && ADDRESS_SIGN.test(text) ? ADDRESS : 0;
  if ((hints & NUMERALS) !== 0 && NUMERAL_SIGN.test(text)) signs |= FIGURES | NUMERALS;
  let last = 0;
  let beforeLast = 0;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    const kind = unit < 128 ? (SIGN_KINDS[unit] as number) : 0;
    if (kind === GAP) {
      // One figure between two gaps.
      if (beforeLast === GAP && (last & (FIGURE | OVAL)) !== 0) signs |= SET_APART;
    } else if (kind === FIGURE) {
      if (last === OVAL) signs |= FIGURES | OVALS;
      else if (last === GAP && beforeLast === FIGURE) {
        signs |= index > 2 && BEFORE_PAIR.includes(text[index - 3] as string) ? FIGURES | SET_APART : FIGURES;
      } else if (last === LETTER && kindOf(text, index - 1) === IS_ALIKE) signs |= FIGURES;
    } else if ((kind & (LETTER | OVAL)) !== 0) {
      if (last === FIGURE && kind === OVAL) signs |= FIGURES | OVALS | LETTERS;
      else if (last === FIGURE) signs |= KINDS[unit] === IS_ALIKE ? FIGURES | LETTERS : LETTERS;
      else if (last === MARK) signs |= LETTERS;
      else if (last === GAP && (beforeLast & (LETTER | OVAL)) !== 0) {
        // Two letters, each without another on its other side.
        if (!isLetterAt(text, index + 1) && !isLetterAt(text, index - 3)) signs |= LETTERS | SPACED_OUT;
      }
    }
    beforeLast = last;
    last = kind;
  }
  return signs;
}

function isLetterAt(text: string, index: number): boolean {
  const letter = text.charCodeAt(index) | 0x20;
  return letter >= 0x61 && letter <= 0x7a;
}

const ADDRESS_SIGN = /(?:dot|点|\(a\)|艾特|圈a|#at#|_at_|[[({<]\s?(?:at|@|a|\.)\s?[\])}>]|\s@\s)/i;
const NUMERAL_SIGN =
  /[〇零一二三四五六七八九壹贰叁肆伍陆柒捌玖幺]|(?:one|two|three|four|five|six|seven|eight|nine|zero)[ ,.-]{1,2}(?:one|two|three|four|five|six|seven|eight|nine|zero)/i;

/** Say nothing by themselves, and are read beside others. */
const MORE_NUMERALS = /[兩两]|\boh\b/i;
const MIDDLE_DOT = "·";

const HAN_DIGITS = "〇零一二三四五六七八九壹贰叁肆伍陆柒捌玖幺兩两";
const HAN_VALUES = "00123456789123456789122";
/** Of a UTF-16 unit from the first of them on: the digit and one, or 0. */
const HAN_FIRST = 0x3007;
const HAN_TABLE = new Uint8Array(0x66f0);
for (const [index, digit] of [...HAN_DIGITS].entries()) {
  HAN_TABLE[digit.charCodeAt(0) - HAN_FIRST] = 1 + Number(HAN_VALUES[index]);
}
const WORDS = new Map(
  "zero0 oh0 one1 two2 three3 four4 five5 six6 seven7 eight8 nine9"
    .split(" ")
    .map((entry) => [entry.slice(0, -1), entry.slice(-1)]),
);
const WORD = `(?:${[...WORDS.keys()].join("|")})`;
const WORD_RUN = new RegExp(`\\b${WORD}(?:[ ,.-]{1,2}${WORD}){3,}\\b`, "gi");
/** Letters and marks that stand for a digit in a row of digits. */
const ALIKE = new Map(
  "O0 o0 D0 Q0 l1 I1 i1 |1 !1 Z2 z2 E3 A4 S5 s5 $5 b6 G6 T7 B8 g9 q9"
    .split(" ")
    .map((pair) => [pair[0], pair[1]]),
);
const IS_DIGIT = 1;
const IS_ALIKE = 2;
const IS_BETWEEN = 3;
const KINDS = new Uint8Array(128);
for (const digit of "0123456789") KINDS[digit.charCodeAt(0)] = IS_DIGIT;
for (const letter of ALIKE.keys()) KINDS[(letter as string).charCodeAt(0)] = IS_ALIKE;
for (const mark of " .-_()") KINDS[mark.charCodeAt(0)] = IS_BETWEEN;
/** As many digits a number has at the least, and as many of them must be written as digits. */
const ROW_MIN = 7;
const ROW_DIGITS_MIN = 3;

function numerals(text: string): string {
  let out = "";
  let copied = 0;
  for (let index = 0; index < text.length; index += 1) {
    const digit = hanDigit(text.charCodeAt(index));
    if (digit === 0 || !(isWrittenBeside(text, index, 1) || isWrittenBeside(text, index, -1))) continue;
    out += text.slice(copied, index) + String(digit - 1);
    copied = index + 1;
  }
  return (copied === 0 ? text : out + text.slice(copied)).replace(WORD_RUN, (run) =>
    run.replace(/[a-z]+/gi, (word) => WORDS.get(word.toLowerCase()) ?? word).replace(/[ ,.-]+/g, ""),
  );
}

/** The digit and one; 0 for all else. */
const hanDigit = (unit: number): number =>
  unit >= HAN_FIRST && unit < HAN_FIRST + HAN_TABLE.length ? (HAN_TABLE[unit - HAN_FIRST] as number) : 0;

/** Whether another numeral, or what numbers and codes are written with, stands beside, also over one separator. */
function isWrittenBeside(text: string, at: number, step: 1 | -1): boolean {
  const next = text.charCodeAt(at + step);
  const unit = isBetweenDigits(next) ? text.charCodeAt(at + 2 * step) : next;
  return (unit > 0x20 && unit < 0x7f) || hanDigit(unit) !== 0;
}

/** One of " ,.-·、". */
const isBetweenDigits = (unit: number): boolean =>
  unit === 0x20 || unit === 0x2c || unit === 0x2d || unit === 0x2e || unit === 0xb7 || unit === 0x3001;

/** Digits set apart one by one; two alone only behind what begins a code (BEFORE_PAIR), for else they are a list. */
function tight(text: string): string {
  return text.replace(APART, (run) => (/\d[^\d]{0,3}\d/.test(run) ? run.replace(/[ ._·-]/g, "") : run));
}

const BEFORE_PAIR = "%=x#";
const APART =
  /(?<![\dA-Za-z])[\dOolI](?:[ ._·-][\dOolI]){2,}(?![\d])|(?<=\d)(?:[ ._·-]\d){3,}(?!\d)|(?<=[A-Za-z])\d(?:[ ._·-]\d){2,}(?!\d)|(?<=[%=x#])\d[ ._·-]\d(?!\d)/g;

/** Tokens of digits in which O and l stand for some, and which may hold other letters, as account numbers do. */
function ovals(text: string): string {
  if (!/\d[OolI|]|[OolI|]\d/.test(text)) return text;
  return rewritten(text, OVAL_TOKEN, (token) => {
    const digits = token.replace(/\D/g, "").length;
    const alike = token.replace(/[^OolI|]/g, "").length;
    const whole = digits + alike === token.length;
    if (!whole && (digits < 2 || 2 * (token.length - digits - alike) > digits + alike)) return token;
    return token.replace(/[Oo]/g, "0").replace(/[lI|]/g, "1");
  });
}

interface TokenShape {
  /** Of each ASCII character: the bits of its kinds; 0 for those that end a token. */
  readonly kinds: Uint8Array;
  readonly sizeMin: number;
  /** A longer one is several. */
  readonly sizeMax: number;
  /** Kinds that a token must have characters of. */
  readonly needed: number;
}

/** The text with its tokens changed. Nearly all words lack a kind that is needed, and are left at once. */
function rewritten(
  text: string,
  { kinds, sizeMin, sizeMax, needed }: TokenShape,
  change: (token: string) => string,
): string {
  let out = "";
  let copied = 0;
  for (let index = 0; index < text.length; index += 1) {
    const start = index;
    let found = 0;
    while (index - start < sizeMax) {
      const unit = text.charCodeAt(index);
      const kind = unit < 128 ? (kinds[unit] as number) : 0;
      if (kind === 0) break;
      found |= kind;
      index += 1;
    }
    // The character behind a token begins the next one where it was cut for its size.
    const end = index;
    if (end - start === sizeMax) index -= 1;
    if (end - start < sizeMin || (found & needed) !== needed) continue;
    const token = text.slice(start, end);
    const read = change(token);
    if (read === token) continue;
    out += text.slice(copied, start) + read;
    copied = end;
  }
  return copied === 0 ? text : out + text.slice(copied);
}

function tokenKinds(...kinds: readonly RegExp[]): Uint8Array {
  return Uint8Array.from({ length: 128 }, (_, unit) =>
    kinds.reduce((bits, kind, bit) => bits | (kind.test(String.fromCharCode(unit)) ? 1 << bit : 0), 0),
  );
}

const OVAL_TOKEN: TokenShape = {
  kinds: tokenKinds(/\d/, /[OolI|]/, /[A-Za-z]/),
  sizeMin: 2,
  sizeMax: 40,
  needed: 0b11,
};

/** Rows of digits in which some are written as letters. By hand: most rows are words, and are left at once. */
function rows(text: string): string {
  let out = "";
  let copied = 0;
  for (let index = 0; index < text.length; index += 1) {
    const start = index;
    let digits = 0;
    let letters = 0;
    let kind = kindOf(text, index);
    while (kind !== 0) {
      if (kind === IS_DIGIT) digits += 1;
      else if (kind === IS_ALIKE) letters += 1;
      index += 1;
      kind = kindOf(text, index);
    }
    if (letters === 0 || digits < ROW_DIGITS_MIN || digits + letters < ROW_MIN) continue;
    const row = text.slice(start, index);
    const read = row.replace(/[^\s.()_-]{2,}/g, (token) =>
      /\d|^[OolI|]+$/.test(token) ? asDigits(token) : token,
    );
    out += text.slice(copied, start) + read;
    copied = index;
  }
  return copied === 0 ? text : out + text.slice(copied);
}

/** 0 behind the end too. */
function kindOf(text: string, index: number): number {
  if (index >= text.length) return 0;
  const unit = text.charCodeAt(index);
  return unit < 128 ? (KINDS[unit] as number) : 0;
}

function asDigits(token: string): string {
  let digits = "";
  for (const letter of token) digits += ALIKE.get(letter) ?? letter;
  return digits;
}

const LEET = new Map("4a 3e 0o 5s 7t 8b 9g @a $s !i +t |l".split(" ").map((pair) => [pair[0], pair[1]]));
/** A digit or mark inside a word, or a digit before three letters. */
const MIXED = /[A-Za-z][0-9@$!]{1,3}[A-Za-z]|(?<![A-Za-z0-9])[0-9$][A-Za-z]{3}/;
const LEET_TOKEN: TokenShape = {
  kinds: tokenKinds(/[A-Za-z]/, /[0-9@$!]/, /[|+]/),
  sizeMin: 4,
  sizeMax: 40,
  needed: 0b11,
};
/** Letters set apart: `s a l a r y`. */
const SPACED = /(?<![A-Za-z])[A-Za-z](?:([ ._*-])[A-Za-z](?![A-Za-z])){3,40}/g;

const joinedUp = (text: string): string => text.replace(SPACED, (run) => run.replace(/[ ._*-]/g, ""));

/** With figures and marks read as letters: 1 as i, and as l. */
function leet(text: string): readonly string[] {
  if (!MIXED.test(text)) return [text];
  return (text.includes("1") ? ["i", "l"] : ["i"]).map((one) =>
    rewritten(text, LEET_TOKEN, (token) => (MIXED.test(token) ? asLetters(token, one) : token)),
  );
}

function asLetters(token: string, one: string): string {
  let letters = "";
  for (const mark of token) letters += mark === "1" ? one : (LEET.get(mark) ?? mark);
  return letters;
}

const AT_MARKED =
  /\s{0,3}[[({<]\s?(?:at|@|艾特|a)\s?[\])}>]\s{0,3}|\s?(?:艾特|圈a|#at#|_at_)\s?|\s{1,3}@\s{1,3}/gi;
const AT_WORD = /\s{1,3}at\s{1,3}/gi;
const DOT =
  /\s{0,3}[[({<]\s?(?:dot|\.|点|period)\s?[\])}>]\s{0,3}|\s{1,3}(?:dot|点)\s{1,3}|\s?点\s?(?=[a-z])|_dot_|#dot#| \. /gi;
const TOPS = "[\\s\\])}>_#]{0,3}(?:com|org|net|cn|edu|gov|io|co|uk|de|fr|info|me|eu|us|app|dev)\\b";
const TOP = new RegExp(`(?:dot|点|\\.|period)${TOPS}`, "i");
const SPELLED_TOP = new RegExp(`(?:dot|点|[[({]\\.|period)${TOPS}`, "i");

/** A plain "at" is a word like others, unless a dot is spelled out as well. */
function addresses(text: string): string {
  if (!TOP.test(text) || !/@|at\b|艾特|圈a|\(a\)/i.test(text)) return text;
  const marked = text.replace(AT_MARKED, "@");
  return SPELLED_TOP.test(text) ? marked.replace(AT_WORD, "@").replace(DOT, ".") : marked;
}
