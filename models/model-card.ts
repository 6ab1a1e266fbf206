/** What a model's card (README.md) says that weir keeps. */
import { existsSync } from "node:fs";
import { readTextFile } from "./formats/json-file.ts";

const CARD_BYTES_MAX = 4 * 2 ** 20;

/** A model card begins with front matter between lines of three dashes; `license:` is one of its keys. */
export function licenceFrom(cardPath: string): string | undefined {
  if (!existsSync(cardPath)) return undefined;
  const frontMatter = /^---\r?\n([\s\S]*?)\r?\n---/.exec(readTextFile(cardPath, CARD_BYTES_MAX))?.[1];
  return /^license:[ \t]*["']?([A-Za-z0-9_.+-]+)["']?[ \t]*\r?$/m.exec(frontMatter ?? "")?.[1];
}
