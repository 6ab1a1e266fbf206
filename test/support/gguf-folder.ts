/** A temporary folder for a test file's model files, gone when the file is done. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll } from "vitest";

export interface ModelFolder {
  readonly path: string;
  /** Writes a file, folders on the way included, and returns its path. */
  write(name: string, content: string | Uint8Array): string;
}

export function modelFolder(): ModelFolder {
  const path = mkdtempSync(join(tmpdir(), "weir-formats-"));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return {
    path,
    write(name, content) {
      const file = join(path, name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
      return file;
    },
  };
}
