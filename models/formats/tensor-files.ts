/** A TensorStore over byte ranges of open files: what both formats come down to. */
import { closeSync } from "node:fs";
import { ModelFileError, type TensorInfo, type TensorStore } from "../source.ts";
import { type OpenedFile, quoted, readFully } from "./file-cursor.ts";

export interface PlacedTensor {
  readonly info: TensorInfo;
  readonly file: OpenedFile;
  /** Of the tensor's first byte, from the file's start. */
  readonly position: number;
}

export interface ByteRange {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/** Two names for the same bytes are a damaged or forged table. Ranges are sorted by their start afterwards. */
export function findOverlap(ranges: ByteRange[]): readonly [string, string] | undefined {
  ranges.sort((a, b) => a.start - b.start || a.end - b.end);
  for (const [index, range] of ranges.entries()) {
    const next = ranges[index + 1];
    if (next !== undefined && next.start < range.end) return [range.name, next.name];
  }
  return undefined;
}

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}$/;

/** Tensor names may one day become file or node names: nothing that a path could be made of. */
export const isPlainTensorName = (name: string): boolean => NAME.test(name) && !name.includes("..");

export class TensorFiles implements TensorStore {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #placed: ReadonlyMap<string, PlacedTensor>;
  readonly #files: readonly OpenedFile[];
  readonly #label: string;
  #closed = false;

  /** Takes over `files` and closes them with itself. `label`: the model's file or folder, for messages. */
  constructor(label: string, files: readonly OpenedFile[], placed: readonly PlacedTensor[]) {
    this.#label = label;
    this.#files = files;
    this.#placed = new Map(placed.map((tensor) => [tensor.info.name, tensor]));
    this.tensors = new Map(placed.map((tensor) => [tensor.info.name, tensor.info]));
  }

  read(name: string, byteOffset: number, byteLength: number): Uint8Array<ArrayBuffer> {
    const tensor = this.#placed.get(name);
    if (tensor === undefined) throw new ModelFileError(this.#label, quoted(name), "there is no such tensor");
    if (this.#closed) throw new ModelFileError(this.#label, name, "was read after the file was closed");
    const valid = Number.isSafeInteger(byteOffset) && Number.isSafeInteger(byteLength);
    if (!valid || byteOffset < 0 || byteLength < 0 || byteOffset + byteLength > tensor.info.byteLength) {
      const range = `${byteOffset} to ${byteOffset + byteLength}`;
      throw new ModelFileError(
        this.#label,
        name,
        `bytes ${range} of ${tensor.info.byteLength} were asked for`,
      );
    }
    const target = new Uint8Array(byteLength);
    readFully(tensor.file, target, tensor.position + byteOffset, name);
    return target;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const file of this.#files) closeSync(file.descriptor);
  }
}
