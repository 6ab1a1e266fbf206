/**
 * Words that stand in private texts of tests, and that nothing which weir writes may repeat. Servers of tests look for them
 * in all that they wrote, files, log lines and metrics, before they are taken down: so each test that asks one is part of
 * the scan.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const CANARY = /CANARY[A-Za-z]*|Zq[a-j]{10}/;

export class CanaryFound extends Error {
  override readonly name = "CanaryFound";
}

/** Throws where one of the texts holds a canary; `what` says which texts they are. */
export function scanTexts(what: string, texts: readonly string[]): void {
  for (const text of texts) {
    const found = CANARY.exec(text);
    if (found === null) continue;
    const around = text.slice(Math.max(0, found.index - 60), found.index + 80);
    throw new CanaryFound(`${what} repeats text of a private request: ${around}`);
  }
}

/** The same for every file below a folder. `except` names those that a test itself wrote. */
export function scanFolder(folder: string, except: readonly string[] = []): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && !except.includes(entry.name),
  );
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    scanTexts(path, [readFileSync(path, "latin1")]);
  }
  return entries.length;
}

/** A word as it may stand in other encodings: whatever holds it in one of these holds it. */
export function spellingsOf(word: string): readonly string[] {
  const bytes = Buffer.from(word);
  const spaced = Buffer.from(word, "utf16le");
  return [
    ...[word, word.toLowerCase(), [...word].reverse().join("")],
    ...[spaced.toString("latin1"), bytes.toString("hex"), bytes.toString("hex").toUpperCase()],
    // Of a longer text, by where the word begins in it; without what its neighbours decide.
    ...[0, 1, 2].map((before) => {
      const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
      return text.slice(Math.ceil((before * 4) / 3), Math.floor(((before + bytes.length) * 4) / 3));
    }),
  ];
}
