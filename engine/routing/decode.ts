/** What is written in codes inside a text, put in the place where it stands: percent, escapes, entities, base64, hex, gzip. */
import { Buffer, isUtf8 } from "node:buffer";
import { gunzipSync, inflateSync } from "node:zlib";
import { entropy } from "./entropy.ts";

export interface Decoded {
  /** The text with everything readable read; the very same string where there was nothing. */
  readonly text: string;
  /** Whether there is a long run in no known code and too even for a language. */
  readonly opaque: boolean;
  /** Whether something unpacks to more than it may. */
  readonly oversize: boolean;
}

/** Decodes one layer; what comes out may be encoded again. */
export function decode(text: string, bytesMax: number): Decoded {
  const found = { opaque: false, oversize: false };
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
  out = out.replace(HEX_PAIRS, (run) => fromHex(run.replace(/0x|[ :,-]/gi, "")) ?? run);
  out = runs(out, bytesMax, found);
  return { text: out, ...found };
}

const ESCAPES =
  /\\{1,4}(?:u\{([0-9a-f]{1,6})\}|u([0-9a-f]{4})|x([0-9a-f]{2})|U([0-9a-f]{8})|([0-3][0-7]{2}))/gi;
const ENTITIES = /&(?:amp;){0,3}(?:#(\d{1,7});?|#x([0-9a-f]{1,6});?|([a-z]{2,8});)/gi;
const HEX_PAIRS = /(?<![0-9a-z])(?:(?:0x)?[0-9a-f]{2}[ :,-]{1,2}){5,}(?:0x)?[0-9a-f]{2}(?![0-9a-z])/gi;
const NAMED = new Map(
  (
    "amp& lt< gt> quot\" apos' commat@ period. colon: num# plus+ hyphen- dash- lowbar_ sol/ lpar( rpar) percnt% equals= " +
    "comma, semi; excl! quest? dollar$ ast*"
  )
    .split(" ")
    .map((entry) => [entry.slice(0, -1), entry.slice(-1)] as const),
).set("nbsp", " ");

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
function runs(text: string, bytesMax: number, found: { opaque: boolean; oversize: boolean }): string {
  let out = "";
  let copied = 0;
  for (let start = 0; start < text.length; ) {
    if (kindOf(text.charCodeAt(start)) === 0) {
      start += 1;
      continue;
    }
    let end = start;
    let kinds = 0;
    let lineStart = start;
    for (;;) {
      for (let kind = 1; kind !== 0; ) {
        kinds |= kind;
        end += 1;
        kind = kindOf(text.charCodeAt(end));
      }
      const next = text[end] === "\r" ? end + 2 : end + 1;
      const wraps = end - lineStart >= WRAPPED_MIN && (text[end] === "\n" || text[end] === "\r");
      if (!wraps || kindOf(text.charCodeAt(next)) === 0) break;
      end = next;
      lineStart = next;
    }
    while (text[end] === "=" && end < text.length) end += 1;
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

function kindOf(unit: number): number {
  if (unit >= 0x61 && unit <= 0x7a) return LOWER;
  if (unit >= 0x41 && unit <= 0x5a) return UPPER;
  if (unit >= 0x30 && unit <= 0x39) return DIGIT;
  return unit === 0x2b || unit === 0x2f || unit === 0x2d || unit === 0x5f ? MARK : 0;
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

function readRun(
  run: string,
  bytesMax: number,
  found: { opaque: boolean; oversize: boolean },
): string | undefined {
  if (/^(?:0x)?(?:[0-9a-f]{2}){6,}$/i.test(run)) {
    const read = readBytes(Buffer.from(run.replace(/^0x/i, ""), "hex"), bytesMax, found);
    if (read !== undefined) return read;
  }
  const read = readBytes(Buffer.from(run, "base64"), bytesMax, found);
  if (read === undefined && run.length > OPAQUE_MIN && isEven(run)) found.opaque = true;
  return read;
}

function readBytes(bytes: Buffer, bytesMax: number, found: { oversize: boolean }): string | undefined {
  const unpacked = unpack(bytes, bytesMax, found);
  return unpacked === undefined ? asText(bytes) : asText(unpacked);
}

function unpack(bytes: Buffer, bytesMax: number, found: { oversize: boolean }): Buffer | undefined {
  const gzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const zlib = bytes[0] === 0x78 && bytes.length > 6 && bytes.readUInt16BE(0) % 31 === 0;
  if (!gzip && !zlib) return undefined;
  try {
    return (gzip ? gunzipSync : inflateSync)(bytes, { maxOutputLength: bytesMax });
  } catch (error) {
    if (error instanceof RangeError) found.oversize = true;
    return undefined;
  }
}

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

/** Whether characters come as evenly as in bytes that were packed or enciphered. */
const isEven = (run: string): boolean => entropy(run) >= (/^[0-9a-f]+$/i.test(run) ? 3.5 : 4.6);
