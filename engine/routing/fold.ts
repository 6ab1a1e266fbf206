/** A text as a reader sees it: one form for each letter and digit, and nothing that does not show. */

/** Stands for "not shown". */
const NOTHING = 0;

/** Letters of other alphabets that look like Latin ones, each before what it looks like; and marks of one meaning. */
const LOOKALIKES =
  "аa бb вb гr дd еe ѕs іi јj кk мm нh оo рp сc тt уy хx ьb ԁd ԛq ԝw һh ӏl ᴦr пn иu үy АA ВB ЕE ЅS ІI ЈJ КK МM НH ОO РP " +
  "СC ТT УY ХX З3 ԌG ԚQ ԜW ҮY ӀI ЬB αa βb γy εe ζz ηn ιi κk νv οo ρp τt υu χx ωw σo ϲc ϳj δd ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM " +
  "ΝN ΟO ΡP ΤT ΥY ΧX ϹC ͿJ օo սu հh ցg ոn աw քp ɑa ɡg ıi ɩi ʟl ɴn ʀr ʏy ᴀa ʙb ᴄc ᴅd ᴇe ꜰf ɢg ʜh ɪi ᴊj ᴋk ᴍm ᴏo ᴘp ǫq ꜱs " +
  "ᴛt ᴜu ᴠv ᴡw ᴢz øo łl đd ħh ØO ŁL ĐD ‐- ‑- ‒- –- —- ―- −- ⁃- ﹣- ー- ‘' ’' ‛' “\" ”\" „\" 。. 、, •· ∙· ⋅· ・· ‧· ●· ⁄/ ∕/ ╱/";

/** First digits of the scripts that have their own. */
const ZEROS = [
  0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
  0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50,
  0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
];

/** First and last of what does not show: controls, joiners, bidi marks, variation selectors, combining marks. */
const UNSEEN: readonly (readonly [number, number])[] = [
  [0, 8],
  [0xb, 0xc],
  [0xe, 0x1f],
  [0x7f, 0x84],
  [0x86, 0x9f],
  [0xad, 0xad],
  [0x300, 0x36f],
  [0x483, 0x489],
  [0x61c, 0x61c],
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x200b, 0x200f],
  [0x202a, 0x202e],
  [0x2060, 0x206f],
  [0x20d0, 0x20ff],
  [0x2800, 0x2800],
  [0x3164, 0x3164],
  [0xfe00, 0xfe0f],
  [0xfe20, 0xfe2f],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xfff9, 0xfffb],
];

/** Letters in circles, squares and as halves of flags: first code point, first letter. */
const LETTER_BLOCKS = [0x1f110, 0x1f130, 0x1f150, 0x1f170, 0x1f1e6];

const TABLE: Uint16Array = makeTable();
/** Has none of what `fold` changes. */
const PLAIN = /^[\t\n\r -~]*$/;

/** The folded text; the very same string where nothing changes. It takes time in proportion to the length. */
export function fold(text: string): string {
  if (PLAIN.test(text)) return text;
  const source = text.normalize("NFKD");
  const out = new Uint16Array(source.length);
  let length = 0;
  for (let index = 0; index < source.length; index += 1) {
    const unit = source.charCodeAt(index);
    if (unit >= 0xd800 && unit <= 0xdbff) {
      const point = source.codePointAt(index) ?? unit;
      const shown = point > 0xffff ? astral(point) : unit;
      if (point > 0xffff) index += 1;
      if (shown === undefined) {
        out[length++] = unit;
        out[length++] = source.charCodeAt(index);
      } else if (shown !== NOTHING) out[length++] = shown;
      continue;
    }
    const shown = TABLE[unit] as number;
    if (shown !== NOTHING) out[length++] = shown;
  }
  return Buffer.from(out.buffer, 0, 2 * length).toString("utf16le");
}

/** Whether two texts differ in marks of punctuation only, which hide nothing from anybody. */
export function isSameButForMarks(text: string, folded: string): boolean {
  if (text.length !== folded.length) return false;
  for (let index = 0; index < text.length; index += 1) {
    if (text.charCodeAt(index) !== folded.charCodeAt(index) && !MARKS.has(text.charCodeAt(index)))
      return false;
  }
  return true;
}

const MARKS: ReadonlySet<number> = new Set(
  [..."，。：；！？（）、“”‘’—–…"].map((mark) => mark.charCodeAt(0)),
);

/** Text written in characters that do not show: as tags, or as variation selectors that stand for bytes. */
export function hidden(text: string): string {
  if (!/\udb40|[\ufe00-\ufe0f]/.test(text)) return "";
  const tags: string[] = [];
  const bytes: number[] = [];
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    if (point >= 0xe0020 && point <= 0xe007e) tags.push(String.fromCharCode(point - 0xe0000));
    else if (point >= 0xfe00 && point <= 0xfe0f) bytes.push(point - 0xfe00);
    else if (point >= 0xe0100 && point <= 0xe01ef) bytes.push(point - 0xe0100 + 16);
  }
  // A few of them are emoji; a text takes more.
  const spelled = bytes.length >= 6 ? Buffer.from(bytes).toString("utf8") : "";
  return `${tags.join("")}${spelled}`;
}

function astral(point: number): number | undefined {
  if (point >= 0xe0000 && point <= 0xe01ef) return NOTHING;
  for (const first of LETTER_BLOCKS) if (point >= first && point < first + 26) return 0x41 + point - first;
  return undefined;
}

function makeTable(): Uint16Array {
  const table = Uint16Array.from({ length: 0x10000 }, (_, unit) => unit);
  for (const [first, last] of UNSEEN) table.fill(NOTHING, first, last + 1);
  for (const zero of ZEROS) for (let digit = 0; digit < 10; digit += 1) table[zero + digit] = 0x30 + digit;
  for (const pair of LOOKALIKES.split(" ")) table[pair.charCodeAt(0)] = pair.charCodeAt(1);
  table[0x2028] = table[0x2029] = table[0x85] = 0x0a;
  return table;
}
