/**
 * Walks Protocol Buffers' wire format in a file (source: protobuf.dev, Encoding), a message at a time. Bytes that nobody
 * asks for are jumped over, so a file's weights cost nothing. Every length is checked against the message that it stands
 * in before anything is read or allocated for it, and the work as a whole is bounded.
 */
import { ModelFileError } from "../source.ts";
import { type OpenedFile, quoted, readFully } from "./file-cursor.ts";

/** From the file's start; `end` is the first byte behind. */
export interface ByteSpan {
  readonly start: number;
  readonly end: number;
}

export type ProtoField =
  /** Signed 64 bits; beyond 2^53 rounded, which no count, size or offset of a real file reaches. */
  | { readonly number: number; readonly kind: "int"; readonly value: number }
  | { readonly number: number; readonly kind: "bytes"; readonly span: ByteSpan }
  /** Four or eight bytes, left unread. */
  | { readonly number: number; readonly kind: "fixed" };

/** Fields of all messages together; graphs of published models stay below 200,000. */
const FIELDS_MAX = 1_000_000;
/** Of all texts that are asked for. */
const TEXT_BYTES_MAX = 64 * 2 ** 20;
const WINDOW_BYTES = 1 << 14;
const VARINT_BYTES_MAX = 10;
/** Seven bits a byte: as many bytes as a double holds without rounding. */
const EXACT_BYTES = 7;

export class ProtoReader {
  readonly #file: OpenedFile;
  #window = Buffer.alloc(0);
  #windowStart = 0;
  #at = 0;
  #fields = 0;
  #textBytes = 0;

  constructor(file: OpenedFile) {
    this.#file = file;
  }

  fail(what: string, problem: string): never {
    throw new ModelFileError(this.#file.path, what, problem);
  }

  /** The fields of the message in `span`, not those of messages inside it. `what` names it in errors. */
  fields(span: ByteSpan, what: string): readonly ProtoField[] {
    const fields: ProtoField[] = [];
    let at = span.start;
    while (at < span.end) {
      this.#at = at;
      fields.push(this.#field(span.end, what));
      at = this.#at;
    }
    return fields;
  }

  /** UTF-8; a broken sequence becomes U+FFFD. */
  text({ start, end }: ByteSpan, bytesMax: number, what: string): string {
    const length = end - start;
    if (length > bytesMax) this.fail(what, `has ${length} bytes; the longest text read is ${bytesMax}`);
    this.#textBytes += length;
    if (this.#textBytes > TEXT_BYTES_MAX) {
      this.fail(what, `with it there are more than ${TEXT_BYTES_MAX} bytes of names`);
    }
    if (length === 0) return "";
    const at = this.#have(start, length);
    return this.#window.toString("utf8", at, at + length);
  }

  /** Numbers that are packed into one field. */
  packed(span: ByteSpan, what: string): readonly number[] {
    const numbers: number[] = [];
    this.#at = span.start;
    while (this.#at < span.end) {
      this.#count(what);
      numbers.push(this.#varint(span.end, what));
    }
    return numbers;
  }

  #field(end: number, what: string): ProtoField {
    this.#count(what);
    const start = this.#at;
    const tag = this.#varint(end, what);
    const number = Math.floor(tag / 8);
    if (tag < 8 || tag > 0xffff_ffff) this.fail(what, `has no field at byte ${start}: this is no ONNX model`);
    switch (tag % 8) {
      case 0:
        return { number, kind: "int", value: this.#varint(end, what) };
      case 1:
        this.#skip(8, end, number, what);
        return { number, kind: "fixed" };
      case 2: {
        const length = this.#varint(end, what);
        const from = this.#at;
        this.#skip(length, end, number, what);
        return { number, kind: "bytes", span: { start: from, end: from + length } };
      }
      case 5:
        this.#skip(4, end, number, what);
        return { number, kind: "fixed" };
      default:
        return this.fail(
          what,
          `field ${number} at byte ${start} has wire type ${tag % 8}: this is no ONNX model`,
        );
    }
  }

  #skip(length: number, end: number, number: number, what: string): void {
    if (length < 0 || length > end - this.#at) {
      this.fail(
        what,
        `field ${number} at byte ${this.#at} would be ${length} bytes long, ${end - this.#at} are left: the file is damaged or cut short`,
      );
    }
    this.#at += length;
  }

  #varint(end: number, what: string): number {
    const start = this.#at;
    const available = Math.min(VARINT_BYTES_MAX, end - start);
    const window = this.#have(start, available);
    let value = 0;
    for (let index = 0; index < available; index += 1) {
      const byte = this.#window[window + index] as number;
      if (index < EXACT_BYTES) value += (byte & 0x7f) * 2 ** (7 * index);
      if (byte >= 0x80) continue;
      this.#at = start + index + 1;
      return index < EXACT_BYTES ? value : this.#large(window, index + 1);
    }
    return this.fail(what, `the number at byte ${start} has no end: the file is damaged or cut short`);
  }

  #large(window: number, length: number): number {
    let value = 0n;
    for (let index = 0; index < length; index += 1) {
      value |= BigInt((this.#window[window + index] as number) & 0x7f) << BigInt(7 * index);
    }
    return Number(BigInt.asIntN(64, value));
  }

  #count(what: string): void {
    this.#fields += 1;
    if (this.#fields > FIELDS_MAX) this.fail(what, `the graph has more than ${FIELDS_MAX} fields`);
  }

  /** Where the bytes from `start` on lie in the window. */
  #have(start: number, length: number): number {
    const at = start - this.#windowStart;
    if (at >= 0 && at + length <= this.#window.length) return at;
    const size = Math.min(Math.max(WINDOW_BYTES, length), this.#file.size - start);
    const window = this.#window.length === size ? this.#window : Buffer.alloc(size);
    readFully(this.#file, window, start, `byte ${start}`);
    this.#window = window;
    this.#windowStart = start;
    return 0;
  }
}

/** A name from a file, for a message. */
export const named = (kind: string, name: string): string => `${kind} ${quoted(name)}`;
