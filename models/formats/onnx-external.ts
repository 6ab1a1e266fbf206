/** The files beside an ONNX graph that hold its weights: plain names only, and long enough for what the graph says. */
import { closeSync } from "node:fs";
import { dirname, join } from "node:path";
import { ModelFileError } from "../source.ts";
import { openRegularFile, quoted } from "./file-cursor.ts";

/** A model directory must not reach for files outside itself: no folders, no dots in front. */
const PLAIN_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/;
const FILES_MAX = 1024;

export class ExternalFiles {
  readonly #graphPath: string;
  /** Bytes of each file. */
  readonly #sizes = new Map<string, number>();

  constructor(graphPath: string) {
    this.#graphPath = graphPath;
  }

  get names(): readonly string[] {
    return [...this.#sizes.keys()];
  }

  /** `entries`: external_data's keys and values; `bytes`: what the tensor's shape takes; `what`: the tensor. */
  add(entries: ReadonlyMap<string, string>, bytes: number, what: string): void {
    const location = entries.get("location") ?? "";
    if (!PLAIN_NAME.test(location)) {
      throw new ModelFileError(
        this.#graphPath,
        `${what} location`,
        `${quoted(location)} is not a plain name of a file beside the graph`,
      );
    }
    const offset = this.#number(entries, "offset", 0, what);
    const length = this.#number(entries, "length", bytes, what);
    if (length !== bytes) {
      throw new ModelFileError(
        this.#graphPath,
        `${what} length`,
        `is ${length} bytes, its shape takes ${bytes}`,
      );
    }
    const size = this.#sizeOf(location);
    if (offset + length > size) {
      throw new ModelFileError(
        join(dirname(this.#graphPath), location),
        what,
        `its data would end at byte ${offset + length}, the file ends at byte ${size}`,
      );
    }
  }

  #number(entries: ReadonlyMap<string, string>, key: string, absent: number, what: string): number {
    const text = entries.get(key);
    if (text === undefined) return absent;
    const number = Number(text);
    if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(number)) return number;
    throw new ModelFileError(
      this.#graphPath,
      `${what} ${key}`,
      `${quoted(text)} is not a whole number of bytes`,
    );
  }

  #sizeOf(name: string): number {
    const known = this.#sizes.get(name);
    if (known !== undefined) return known;
    if (this.#sizes.size === FILES_MAX) {
      throw new ModelFileError(this.#graphPath, "external data", `names more than ${FILES_MAX} files`);
    }
    const file = openRegularFile(join(dirname(this.#graphPath), name));
    closeSync(file.descriptor);
    this.#sizes.set(name, file.size);
    return file.size;
  }
}
