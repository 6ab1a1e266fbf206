/** Spellings that keep a number or a word from machines and not from people, undone. The text is folded before. */

/** Each gives another reading of a text, or the very same where there is none. All work within a few words. */
export function loosened(text: string): readonly string[] {
  const signs = signsOf(text);
  if (signs === 0) return [];
  const spelled = (reading: string): string => ((signs & ADDRESS) === 0 ? reading : addresses(reading));
  const readings: string[] = [];
  if ((signs & FIGURES) === 0) readings.push(spelled(text));
  else {
    const plain = tight(numerals(text));
    readings.push(spelled(ovals(plain)), rows(plain));
  }
  if ((signs & LETTERS) !== 0) {
    const letters = leet(text, "i");
    readings.push(spelled(letters));
    if (letters !== text) readings.push(spelled(leet(text, "l")));
  }
  return [...new Set(readings)].filter((reading) => reading !== text);
}

/** Signs that a reading may differ: figures in letters or set apart, letters in figures or set apart, an address in words. */
const FIGURES = 1;
const LETTERS = 2;
const ADDRESS = 4;

const KIND_FIGURE = 1;
const KIND_OVAL = 2;
const KIND_LETTER = 3;
const KIND_MARK = 4;
const KIND_GAP = 5;
const SIGN_KINDS = new Uint8Array(128);
for (let letter = 0; letter < 26; letter += 1)
  SIGN_KINDS[0x41 + letter] = SIGN_KINDS[0x61 + letter] = KIND_LETTER;
for (const figure of "0123456789") SIGN_KINDS[figure.charCodeAt(0)] = KIND_FIGURE;
for (const oval of "OolI|") SIGN_KINDS[oval.charCodeAt(0)] = KIND_OVAL;
for (const mark of "@$!") SIGN_KINDS[mark.charCodeAt(0)] = KIND_MARK;
for (const gap of " ._-*") SIGN_KINDS[gap.charCodeAt(0)] = KIND_GAP;

/** One look at each character: most texts have none of the signs, and are not read again. */
function signsOf(text: string): number {
  let signs = ADDRESS_SIGN.test(text) ? ADDRESS : 0;
  if (NUMERAL_SIGN.test(text)) signs |= FIGURES;
  let last = 0;
  let beforeLast = 0;
  for (let index = 0; index < text.length; index += 1) {
    const kind = SIGN_KINDS[text.charCodeAt(index)] ?? 0;
    const isLetter = kind === KIND_LETTER || kind === KIND_OVAL;
    if (kind === KIND_FIGURE) {
      if (last === KIND_OVAL || (last === KIND_GAP && beforeLast === KIND_FIGURE)) signs |= FIGURES;
      else if (last === KIND_LETTER) signs |= ALIKE.has(text[index - 1] as string) ? FIGURES : 0;
    } else if (isLetter) {
      if (last === KIND_FIGURE && (kind === KIND_OVAL || ALIKE.has(text[index] as string))) signs |= FIGURES;
      if (last === KIND_FIGURE || last === KIND_MARK) signs |= LETTERS;
      const stood = last === KIND_GAP && (beforeLast === KIND_LETTER || beforeLast === KIND_OVAL);
      if (stood) signs |= isAlone(text, index) && isAlone(text, index - 2) ? LETTERS : 0;
    }
    beforeLast = last;
    last = kind;
  }
  return signs;
}

/** Whether the letter has no letter on either side. */
function isAlone(text: string, index: number): boolean {
  return !/[A-Za-z]/.test(text[index - 1] ?? "") && !/[A-Za-z]/.test(text[index + 1] ?? "");
}

const ADDRESS_SIGN = /(?:dot|点|\(a\)|艾特|圈a|#at#|_at_|[[({<]\s?(?:at|@|a|\.)\s?[\])}>]|\s@\s)/i;
const NUMERAL_SIGN =
  /[〇零一二三四五六七八九壹贰叁肆伍陆柒捌玖幺]|(?:one|two|three|four|five|six|seven|eight|nine|zero)[ ,.-]{1,2}(?:one|two|three|four|five|six|seven|eight|nine|zero)/i;

const HAN_DIGITS = "〇零一二三四五六七八九壹贰叁肆伍陆柒捌玖幺兩两";
const HAN_VALUES = "00123456789123456789122";
const HAN_DIGIT = new RegExp(`[${HAN_DIGITS}]`, "g");
/** What stands beside a numeral that is a digit: another one, or what numbers and codes are written with. */
const BESIDE = new RegExp(`[${HAN_DIGITS}!-~]`);
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
  let out = text;
  out = out.replace(HAN_DIGIT, (digit, at: number) => {
    const isDigit = BESIDE.test(beside(out, at, 1)) || BESIDE.test(beside(out, at, -1));
    return isDigit ? (HAN_VALUES[HAN_DIGITS.indexOf(digit)] ?? digit) : digit;
  });
  return out.replace(WORD_RUN, (run) =>
    run.replace(/[a-z]+/gi, (word) => WORDS.get(word.toLowerCase()) ?? word).replace(/[ ,.-]+/g, ""),
  );
}

/** The next character in a direction, over one separator. */
function beside(text: string, at: number, step: 1 | -1): string {
  const next = text[at + step] ?? "";
  return /[ ,.·、-]/.test(next) ? (text[at + 2 * step] ?? "") : next;
}

/** Digits set apart one by one; two alone only behind what begins a code, for else they are a list. */
function tight(text: string): string {
  return text.replace(APART, (run) => (/\d[^\d]{0,3}\d/.test(run) ? run.replace(/[ ._·-]/g, "") : run));
}

const APART =
  /(?<![\dA-Za-z])[\dOolI](?:[ ._·-][\dOolI]){2,}(?![\d])|(?<=\d)(?:[ ._·-]\d){3,}(?!\d)|(?<=[A-Za-z])\d(?:[ ._·-]\d){2,}(?!\d)|(?<=[%=x#])\d[ ._·-]\d(?!\d)/g;

/** Tokens of digits in which O and l stand for some, and which may hold other letters, as account numbers do. */
function ovals(text: string): string {
  if (!/\d[OolI|]|[OolI|]\d/.test(text)) return text;
  return text.replace(/[A-Za-z0-9|]{2,40}/g, (token) => {
    const digits = token.replace(/\D/g, "").length;
    if (digits === 0 || !/[OolI|]/.test(token)) return token;
    const alike = token.replace(/[^OolI|]/g, "").length;
    const whole = digits + alike === token.length;
    if (!whole && (digits < 2 || 2 * (token.length - digits - alike) > digits + alike)) return token;
    return token.replace(/[Oo]/g, "0").replace(/[lI|]/g, "1");
  });
}

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

const kindOf = (text: string, index: number): number => KINDS[text.charCodeAt(index)] ?? 0;

const asDigits = (token: string): string => token.replace(/[^\d]/g, (letter) => ALIKE.get(letter) ?? letter);

const LEET = new Map("4a 3e 0o 5s 7t 8b 9g @a $s !i +t |l".split(" ").map((pair) => [pair[0], pair[1]]));
/** A digit or mark inside a word, or a digit before three letters. */
const MIXED = /[A-Za-z][0-9@$!]{1,3}[A-Za-z]|(?<![A-Za-z0-9])[0-9$][A-Za-z]{3}/;
const TOKEN = /[A-Za-z0-9@$!|+]{4,40}/g;
/** Letters set apart: `s a l a r y`. */
const SPACED = /(?<![A-Za-z])[A-Za-z](?:([ ._*-])[A-Za-z](?![A-Za-z])){3,40}/g;

/** The figure 1 is read as the letter `one`. */
function leet(text: string, one: string): string {
  const close = text.replace(SPACED, (run) => run.replace(/[ ._*-]/g, ""));
  if (!MIXED.test(close)) return close;
  return close.replace(TOKEN, (token) =>
    MIXED.test(token)
      ? token.replace(/[^A-Za-z]/g, (mark) => (mark === "1" ? one : (LEET.get(mark) ?? mark)))
      : token,
  );
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
