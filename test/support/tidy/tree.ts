/** The project's own text files, found by walking: it works in a clone, in an unpacked archive and in an image. */
import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";

const TEXT = new Set([
  ...[".ts", ".js", ".mjs", ".json", ".md", ".yaml", ".yml", ".sh", ".py", ".html", ".css", ".txt", ".jinja"],
]);
const NAMED = new Set([
  "Dockerfile",
  ".dockerignore",
  ".editorconfig",
  ".gitignore",
  ".npmrc",
  "NOTICE",
  "run",
]);
const SKIPPED = new Set(["node_modules", ".git", ".venv", ".weir", "coverage", "__pycache__", "fixtures"]);
/** Made by tools, or data: nobody reads them line by line. */
const GENERATED = new Set(["package-lock.json"]);
const FILE_BYTES_MAX = 512 * 1024;

export interface TextFile {
  /** From the project's root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export function readTree(root: string, folder = ""): readonly TextFile[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry): readonly TextFile[] => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : readTree(root, path);
    if (!entry.isFile() || GENERATED.has(entry.name)) return [];
    if (!TEXT.has(extname(entry.name)) && !NAMED.has(entry.name)) return [];
    const text = readFileSync(join(root, path), "utf8");
    return text.length > FILE_BYTES_MAX ? [] : [{ path, text }];
  });
}
