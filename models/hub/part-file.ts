/**
 * A file that is downloaded in parts: `NAME.part` holds the bytes in their places, `NAME.parts.json` how many of each part
 * are there. Both survive a kill; the count may lag behind the bytes, never the other way round by more than the digest
 * check at the end finds out.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { z } from "zod";
import type { HubFile } from "./listing.ts";

const PARTS_MAX = 1_000_000;

const State = z.strictObject({
  digest: z.string(),
  size: z.int().min(0),
  partBytes: z.int().min(1),
  done: z.array(z.int().min(0)).max(PARTS_MAX),
});

export interface Part {
  readonly index: number;
  readonly first: number;
  readonly length: number;
}

export class PartFile {
  readonly parts: readonly Part[];
  readonly #handle: FileHandle;
  readonly #stateFile: string;
  readonly #file: HubFile;
  readonly #partBytes: number;
  readonly #done: number[];

  private constructor(path: string, file: HubFile, handle: FileHandle, partBytes: number, done: number[]) {
    this.#stateFile = stateFileOf(path);
    this.#file = file;
    this.#handle = handle;
    this.#partBytes = partBytes;
    this.#done = done;
    this.parts = done.map((_, index) => {
      const first = index * partBytes;
      return { index, first, length: Math.min(partBytes, file.size - first) };
    });
  }

  /** Goes on where an earlier try stopped, if its notes fit this file. `path`: of the finished file. */
  static async open(path: string, file: HubFile, partBytes: number): Promise<PartFile> {
    const earlier = readState(path, file);
    const handle = await reopen(partFileOf(path), earlier === undefined ? "w+" : "r+");
    if (handle === undefined) return PartFile.fresh(path, file, partBytes);
    if (earlier !== undefined) return new PartFile(path, file, handle, earlier.partBytes, earlier.done);
    return new PartFile(path, file, handle, partBytes, emptyCounts(file.size, partBytes));
  }

  static async fresh(path: string, file: HubFile, partBytes: number): Promise<PartFile> {
    const handle = await open(partFileOf(path), "w+");
    return new PartFile(path, file, handle, partBytes, emptyCounts(file.size, partBytes));
  }

  doneOf(part: Part): number {
    return this.#done[part.index] ?? 0;
  }

  get doneBytes(): number {
    return this.#done.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Appends to the part. */
  async write(part: Part, bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.byteLength; ) {
      const at = this.doneOf(part);
      const { bytesWritten } = await this.#handle.write(
        bytes,
        from,
        bytes.byteLength - from,
        part.first + at,
      );
      from += bytesWritten;
      this.#done[part.index] = at + bytesWritten;
    }
  }

  /** The part begins again, where its server cannot send a range. */
  restart(part: Part): void {
    this.#done[part.index] = 0;
  }

  /** Notes how far it is. Written beside and moved, so that a kill leaves the old notes or the new ones. */
  save(): void {
    const state: z.infer<typeof State> = {
      digest: this.#file.digest.hex,
      size: this.#file.size,
      partBytes: this.#partBytes,
      done: this.#done,
    };
    writeFileSync(`${this.#stateFile}.new`, JSON.stringify(state));
    renameSync(`${this.#stateFile}.new`, this.#stateFile);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

export const partFileOf = (path: string): string => `${path}.part`;
const stateFileOf = (path: string): string => `${path}.parts.json`;

/** Takes the finished parts as the file itself. */
export function finishParts(path: string): void {
  renameSync(partFileOf(path), path);
  rmSync(stateFileOf(path), { force: true });
}

export function discardParts(path: string): void {
  rmSync(partFileOf(path), { force: true });
  rmSync(stateFileOf(path), { force: true });
}

/** Bytes of a file that an interrupted pull left, by its notes. */
export const partBytesOnDisk = (path: string, file: HubFile): number =>
  readState(path, file)?.done.reduce((sum, bytes) => sum + bytes, 0) ?? 0;

const emptyCounts = (size: number, partBytes: number): number[] =>
  Array.from({ length: Math.ceil(size / partBytes) }, () => 0);

function readState(path: string, file: HubFile): z.infer<typeof State> | undefined {
  try {
    const state = State.parse(JSON.parse(readFileSync(stateFileOf(path), "utf8")));
    const counts = emptyCounts(file.size, state.partBytes);
    const fits =
      state.digest === file.digest.hex &&
      state.size === file.size &&
      state.done.length === counts.length &&
      state.done.every(
        (bytes, index) => bytes <= Math.min(state.partBytes, file.size - index * state.partBytes),
      );
    return fits ? state : undefined;
  } catch {
    // Absent or damaged notes: the download begins again.
    return undefined;
  }
}

async function reopen(path: string, flags: "r+" | "w+"): Promise<FileHandle | undefined> {
  try {
    return await open(path, flags);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
