/** Reads weir.yaml: which file counts, its bytes within a bound, and the line on which each key stands. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { join, resolve } from "node:path";
import { isMap, isScalar, LineCounter, type Node, parseDocument } from "yaml";
import type { Problem } from "./problems.ts";

const FILE_BYTES_MAX = 1024 * 1024;
/** More aliases than any person writes; a "billion laughs" file stops here. */
const ALIASES_MAX = 100;

export interface SettingsFile {
  readonly path: string;
  /** The file's content as plain objects; undefined where it could not be read. */
  readonly tree: unknown;
  readonly problems: readonly Problem[];
  /** `weir.yaml:3` for a key, or for the section around it. */
  where(path: string): string;
}

export interface FileChoice {
  readonly path: string;
  /** True where somebody named this file: then it must exist. */
  readonly named: boolean;
}

/** The candidates, the first that exists wins: the named file alone, else ./weir.yaml, else $WEIR_HOME/weir.yaml. */
export function fileChoices(named: string | undefined, cwd: string, home: string): readonly FileChoice[] {
  if (named !== undefined) return [{ path: resolve(cwd, named), named: true }];
  return [
    { path: join(cwd, "weir.yaml"), named: false },
    { path: join(home, "weir.yaml"), named: false },
  ];
}

/** Undefined where no candidate exists and none was named. */
export function readSettingsFile(choices: readonly FileChoice[]): SettingsFile | undefined {
  for (const choice of choices) {
    try {
      return parse(choice.path, readBounded(choice.path));
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "ENOENT" && !choice.named) continue;
      return broken(choice.path, code === "ENOENT" ? "there is no such file" : (error as Error).message);
    }
  }
  return undefined;
}

const broken = (path: string, message: string): SettingsFile => ({
  path,
  tree: undefined,
  problems: [{ path: "", where: path, message }],
  where: () => path,
});

function readBounded(path: string): string {
  const handle = openSync(path, "r");
  try {
    const { size } = fstatSync(handle);
    if (size > FILE_BYTES_MAX)
      throw new Error(`it has ${size} bytes; a configuration may have ${FILE_BYTES_MAX}`);
    const bytes = Buffer.alloc(FILE_BYTES_MAX);
    let length = 0;
    for (;;) {
      const read = readSync(handle, bytes, length, FILE_BYTES_MAX - length, null);
      if (read === 0) return bytes.toString("utf8", 0, length);
      length += read;
    }
  } finally {
    closeSync(handle);
  }
}

function parse(path: string, text: string): SettingsFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const at = (offset: number): string => `${path}:${lines.linePos(offset).line}`;
  if (document.errors.length > 0) {
    const problems = document.errors.map((error) => ({
      path: "",
      where: at(error.pos[0]),
      message: error.message,
    }));
    return { path, tree: undefined, problems, where: () => path };
  }
  const where = (key: string): string => {
    const offset = offsetOf(document.contents, key.split("."));
    return offset === undefined ? path : at(offset);
  };
  try {
    return { path, tree: document.toJS({ maxAliasCount: ALIASES_MAX }) ?? {}, problems: [], where };
  } catch (error) {
    return broken(path, (error as Error).message);
  }
}

/** Where the longest known part of the path stands in the text. */
function offsetOf(root: Node | null, path: readonly string[]): number | undefined {
  let node: unknown = root;
  let offset: number | undefined;
  for (const key of path) {
    if (!isMap(node)) break;
    const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
    if (pair === undefined) break;
    offset = (pair.key as { range?: readonly [number, number, number] }).range?.[0] ?? offset;
    node = pair.value;
  }
  return offset;
}
