/** What is written in codes inside a text, put in the place where it stands: percent, escapes, entities, base64, hex, gzip. */
import { Buffer, isUtf8 } from "node:buffer";
import { gunzipSync, inflateSync } from "node:zlib";
import { entropy } from "./entropy.ts";

export interface Decoded {
  /** The text with everything readable read; the very same string where there was nothing. */
  readonly text: string;
  /** Whether there is a long run in no known code and too even for a language. */
  readonly opaque: boolean;
  /** Whether something unpacks to more than it may, or too much looks packed and is not. */
  readonly oversize: boolean;
}

/** What may be spent on the readings of one text, all together. */
export interface Effort {
  /** Codes that look packed and are not: each failure costs as much as thousands of characters. */
  failuresLeft: number;
}

/** Decodes one layer; what comes out may be encoded again. `bytesMax`: of a code, and of all their characters. */
export function decode(text: string, bytesMax: number, effort: Effort): Decoded {
  const found: Found = { opaque: false, oversize: false, unpacked: 0, effort };
  let out = text;
  if (out.includes("%"))
    out = out.replace(/(?:%[0-9a-f]{2})+/gi, (run) => fromHex(run.replaceAll("%", "")) ?? run);
  if (out.includes("="))
    out = out.replace(/(?:=[0-9a-f]{2}){3,}/gi, (run) => fromHex(run.replaceAll("=", "")) ?? run);
  if (out.includes("\\")) {
    out = out.replace(/(?:\\{1,4}x[0-9a-f]{2})+/gi, (run) => fromHex(run.replace(/[\\x]/gi, "")) ?? run);
    out = out.replace(ESCAPES, unescaped);
  }
  if (out.includes("&")) out = out.replace(ENTITIES, entity);
  if (mayHoldHexPairs(out)) {
    out = out.replace(HEX_PAIRS, (run) => fromHex(run.replace(/0x|[ :,-]/gi, "")) ?? run);
  }
  out = runs(out, bytesMax, found);
  return { text: out, opaque: found.opaque, oversize: found.oversize };
}

interface Found {
  opaque: boolean;
  oversize: boolean;
  /** Characters that codes unpacked to, all together. */
  unpacked: number;
  readonly effort: Effort;
}

const ESCAPES =
  /\\{1,4}(?:u\{([0-9a-f]{1,6})\}|u([0-9a-f]{4})|x([0-9a-f]{2})|U([0-9a-f]{8})|([0-3][0-7]{2}))/gi;
const ENTITIES = /&(?:amp;){0,3}(?:#(\d{1,7});?|#x([0-9a-f]{1,6});?|([a-z]{2,8});)/gi;
const HEX_PAIRS = /(?<![0-9a-z])(?:(?:0x)?[0-9a-f]{2}[ :,-]{1,2}){5,}(?:0x)?[0-9a-f]{2}(?![0-9a-z])/gi;
const HEX = new Uint8Array(128);
HEX.fill(1, 0x30, 0x3a).fill(1, 0x41, 0x47).fill(1, 0x61, 0x67);
const PAIRS_MIN = 5;
const NAMED = new Map(
  (
    "amp& lt< gt> quot\" apos' commat@ period. colon: num# plus+ hyphen- dash- lowbar_ sol/ lpar( rpar) percnt% equals= " +
    "comma, semi; excl! quest? dollar$ ast*"
  )
    .split(" ")
    .map((entry) => [entry.slice(0, -1), entry.slice(-1)] as const),
).set("nbsp", " ");

/** Whether there may be a match of HEX_PAIRS: as many tokens of two hex digits in a row. */
function mayHoldHexPairs(text: string): boolean {
  let pairs = 0;
  let tokenStart = 0;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit !== 0x20 && unit !== 0x2c && unit !== 0x2d && unit !== 0x3a) continue;
    const size = index - tokenStart;
    tokenStart = index + 1;
    if (size === 0) continue;
    if (size < 2 || !isHexAt(text, index - 1) || !isHexAt(text, index - 2)) pairs = 0;
    // What is longer may begin a row, behind a bracket.
    else pairs = size === 2 || (size === 4 && text.charCodeAt(index - 4) === 0x30) ? pairs + 1 : 1;
    if (pairs >= PAIRS_MIN) return true;
  }
  return false;
}

const isHexAt = (text: string, index: number): boolean => HEX[text.charCodeAt(index)] === 1;

function unescaped(run: string, ...codes: readonly (string | undefined)[]): string {
  const octal = codes[4];
  const hex = codes.slice(0, 4).find((code) => code !== undefined);
  const point = octal === undefined ? Number.parseInt(hex ?? "", 16) : Number.parseInt(octal, 8);
  return fromPoint(point) ?? run;
}

function entity(run: string, decimal?: string, hex?: string, name?: string): string {
  if (name !== undefined) return NAMED.get(name.toLowerCase()) ?? run;
  return fromPoint(decimal === undefined ? Number.parseInt(hex ?? "", 16) : Number(decimal)) ?? run;
}

const fromPoint = (point: number): string | undefined =>
  point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : undefined;

/** As text; undefined where it is none. A single byte above ASCII counts as a letter of Latin-1. */
function fromHex(digits: string): string | undefined {
  const bytes = Buffer.from(digits, "hex");
  return asText(bytes) ?? (bytes.length <= 2 ? bytes.toString("latin1") : undefined);
}

const RUN_MIN = 8;
const OPAQUE_MIN = 200;
/** A line of wrapped base64 is at least this long. */
const WRAPPED_MIN = 56;

/** Reads runs of base64 and hex, also over line breaks. One pass by hand: most words are neither. */
function runs(text: string, bytesMax: number, found: Found): string {
  let out = "";
  let copied = 0;
  for (let start = 0; start < text.length; ) {
    if (kindAt(text, start) === 0) {
      start += 1;
      continue;
    }
    let end = start;
    let kinds = 0;
    let lineStart = start;
    for (;;) {
      // The first character of a line does not count: it may be a word's capital.
      end += 1;
      for (let kind = kindAt(text, end); kind !== 0; kind = kindAt(text, end)) {
        kinds |= kind;
        end += 1;
      }
      // Nearly all words are shorter, and stand at no end of a wrapped line.
      if (end - start < RUN_MIN && text.charCodeAt(end) !== EQUALS) break;
      const next = text[end] === "\r" ? end + 2 : end + 1;
      const wraps = end - lineStart >= WRAPPED_MIN && (text[end] === "\n" || text[end] === "\r");
      if (!wraps || kindAt(text, next) === 0) break;
      end = next;
      lineStart = next;
    }
    while (text.charCodeAt(end) === EQUALS) end += 1;
    if (end - start >= RUN_MIN && mayBeCode(kinds, text, start, end)) {
      const read = readRun(text.slice(start, end).replace(/[\r\n=]/g, ""), bytesMax, found);
      if (read !== undefined) {
        out += text.slice(copied, start) + read;
        copied = end;
      }
    }
    start = end;
  }
  return copied === 0 ? text : out + text.slice(copied);
}

const LOWER = 2;
const UPPER = 4;
const DIGIT = 8;
const MARK = 16;

const EQUALS = 0x3d;
const KINDS = new Uint8Array(128);
KINDS.fill(LOWER, 0x61, 0x7b);
KINDS.fill(UPPER, 0x41, 0x5b);
KINDS.fill(DIGIT, 0x30, 0x3a);
for (const mark of "+/-_") KINDS[mark.charCodeAt(0)] = MARK;

/** 0 behind the end too. */
function kindAt(text: string, index: number): number {
  if (index >= text.length) return 0;
  const unit = text.charCodeAt(index);
  return unit < 128 ? (KINDS[unit] as number) : 0;
}

/** Words are of one case, with a capital at most; codes are not. */
function mayBeCode(kinds: number, text: string, start: number, end: number): boolean {
  if ((kinds & DIGIT) !== 0 && (kinds & (LOWER | UPPER)) !== 0) return true;
  if ((kinds & DIGIT) !== 0) return end - start >= 12;
  if ((kinds & LOWER) !== 0 && (kinds & UPPER) !== 0) {
    return text[end - 1] === "=" || /[a-z][A-Z]|[A-Z]{2}[a-z]/.test(text.slice(start, start + 64));
  }
  return end - start > OPAQUE_MIN;
}

function readRun(run: string, bytesMax: number, found: Found): string | undefined {
  if (/^(?:0x)?(?:[0-9a-f]{2}){6,}$/i.test(run)) {
    const read = readBytes(Buffer.from(run.replace(/^0x/i, ""), "hex"), bytesMax, found);
    if (read !== undefined) return read;
  }
  const read = mayBeginText(run) ? readBytes(Buffer.from(run, "base64"), bytesMax, found) : undefined;
  if (read === undefined && run.length > OPAQUE_MIN && isEven(run)) found.opaque = true;
  return read;
}

/**
 * Whether the first two bytes in base64 may begin a text (see `asText`), or something packed. Most words do not, and to
 * make bytes of each costs much more.
 */
function mayBeginText(run: string): boolean {
  const middle = valueAt(run, 1);
  const first = (valueAt(run, 0) << 2) | (middle >> 4);
  const second = ((middle & 15) << 4) | (valueAt(run, 2) >> 2);
  // A letter of two bytes, of which the second is 0, or the first byte of several in UTF-8 before another one.
  if (first >= 0x80)
    return second === 0 || (first >= 0xc2 && first <= 0xf4 && second >= 0x80 && second < 0xc0);
  if (first === GZIP[0]) return second === GZIP[1];
  if (first === ZLIB && (256 * first + second) % 31 === 0) return true;
  if (isUnreadable(first)) return false;
  return second < 0x80 ? second === 0 || !isUnreadable(second) : second >= 0xc2 && second <= 0xf4;
}

/** Of characters of base64 in either alphabet. */
const VALUES = new Uint8Array(128);
for (const [value, letter] of [
  ..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
].entries()) {
  VALUES[letter.charCodeAt(0)] = value;
}
VALUES[0x2d] = 62;
VALUES[0x5f] = 63;
const valueAt = (run: string, index: number): number => VALUES[run.charCodeAt(index)] as number;

function readBytes(bytes: Buffer, bytesMax: number, found: Found): string | undefined {
  const unpacked = unpack(bytes, bytesMax, found);
  if (unpacked === undefined) return asText(bytes);
  const text = asText(unpacked);
  found.unpacked += text?.length ?? 0;
  return text;
}

function unpack(bytes: Buffer, bytesMax: number, found: Found): Buffer | undefined {
  const gzip = isGzip(bytes);
  if (!gzip && !isZlib(bytes)) return undefined;
  if (found.unpacked > bytesMax || found.effort.failuresLeft <= 0) {
    found.oversize = true;
    return undefined;
  }
  try {
    return (gzip ? gunzipSync : inflateSync)(bytes, { maxOutputLength: bytesMax });
  } catch (error) {
    if (error instanceof RangeError) found.oversize = true;
    found.effort.failuresLeft -= 1;
    return undefined;
  }
}

const GZIP = [0x1f, 0x8b] as const;
/** Its head (RFC 1952), of the one method that there is, and room for the shortest content and the tail. */
const isGzip = (bytes: Buffer): boolean =>
  bytes[0] === 0x1f &&
  bytes[1] === 0x8b &&
  bytes[2] === 8 &&
  bytes.length >= 18 &&
  (bytes[3] as number) < 0x20;

const ZLIB = 0x78;
/** Its head (RFC 1950) for a window of 32 kB, without a dictionary. */
const isZlib = (bytes: Buffer): boolean =>
  bytes[0] === ZLIB &&
  bytes.length > 6 &&
  bytes.readUInt16BE(0) % 31 === 0 &&
  ((bytes[1] as number) & 0x20) === 0;

/** Text in UTF-8, or in UTF-16 with Latin letters; no other bytes. */
function asText(bytes: Buffer): string | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes.length >= 4 && bytes.length % 2 === 0 && bytes[1] === 0 && bytes[3] === 0) {
    const wide = bytes.toString("utf16le");
    return UNREADABLE.test(wide) ? undefined : wide;
  }
  if (!isUtf8(bytes)) return undefined;
  const text = bytes.toString("utf8");
  return UNREADABLE.test(text) ? undefined : text;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they tell bytes from text
const UNREADABLE = /[\0-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]/;

const isUnreadable = (unit: number): boolean => UNREADABLE.test(String.fromCharCode(unit));

/** Whether characters come as evenly as in bytes that were packed or enciphered. */
const isEven = (run: string): boolean => entropy(run) >= (/^[0-9a-f]+$/i.test(run) ? 3.5 : 4.6);
