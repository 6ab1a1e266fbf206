/**
 * All the ways in which a text can be read: as it stands, folded, with spellings undone, and decoded, again and again.
 * Of a long text, a further reading holds only the stretches that it reads differently, with what stands around them.
 */
import { decode } from "./decode.ts";
import { fold, hidden, isSameButForMarks } from "./fold.ts";
import { hintsOf, loosened } from "./loosen.ts";

export interface ViewBounds {
  /** Codes within codes. */
  readonly depthMax: number;
  /** Characters that decoded views may have, all together; and bytes that one code may unpack to. */
  readonly addedMax: number;
  /** Codes that look packed and cannot be unpacked, in all views together. */
  readonly unpackFailuresMax: number;
}

export const VIEW_BOUNDS: ViewBounds = { depthMax: 3, addedMax: 1 << 20, unpackFailuresMax: 512 };

export interface Views {
  /** The text itself first. All are different. */
  readonly texts: readonly string[];
  /** Rules about what could not be read: `doubt.*` where nobody knows what it holds, `blob.opaque` for sealed bytes. */
  readonly findings: readonly string[];
}

export function viewsOf(text: string, bounds: ViewBounds): Views {
  const texts = new Set<string>();
  const findings = new Set<string>();
  const effort = { failuresLeft: bounds.unpackFailuresMax };
  let added = 0;

  const read = (view: string, depth: number): void => {
    if (texts.has(view)) return;
    texts.add(view);
    const folded = fold(view);
    const readings = [folded];
    if (folded !== view) {
      // Where only marks differ in the whole, nothing else differs in a stretch of it.
      if (!isSameButForMarks(view, folded)) add(texts, differing(view, withoutMarks));
      deeper(hidden(view), depth);
    }
    for (const reading of spellings(folded)) {
      texts.add(reading);
      readings.push(reading);
    }
    for (const reading of readings) {
      const { text: decoded, opaque, oversize } = decode(reading, bounds.addedMax, effort);
      if (opaque) findings.add("blob.opaque");
      if (oversize) findings.add("doubt.views");
      if (decoded !== reading) deeper(excerpt(reading, decoded), depth);
    }
  };
  const deeper = (view: string, depth: number): void => {
    if (view === "" || texts.has(view)) return;
    added += view.length;
    if (added > bounds.addedMax) findings.add("doubt.views");
    else if (depth >= bounds.depthMax) findings.add("doubt.encoding-depth");
    else read(view, depth + 1);
  };

  read(text, 0);
  return { texts: [...texts], findings: [...findings] };
}

/** A stretch, and as much around it as a word may stand from the number that it explains. */
const STRETCH = 1024;
const AROUND = 192;

function add(texts: Set<string>, reading: string): void {
  if (reading !== "") texts.add(reading);
}

/** The folded stretch; the very same where only marks of punctuation are different. */
function withoutMarks(stretch: string): string {
  const folded = fold(stretch);
  return isSameButForMarks(stretch, folded) ? stretch : folded;
}

/** The stretches that `change` changes, changed; "" where there are none. */
function differing(text: string, change: (stretch: string) => string): string {
  if (text.length <= STRETCH) {
    const changed = change(text);
    return changed === text ? "" : changed;
  }
  const found: string[] = [];
  for (const stretch of stretches(text)) {
    const changed = change(stretch);
    if (changed !== stretch) found.push(excerpt(stretch, changed));
  }
  return found.join("\n\n");
}

function* stretches(text: string): Generator<string> {
  for (let start = 0; start < text.length; start += STRETCH) {
    yield flat(text.slice(Math.max(0, start - AROUND), start + STRETCH + AROUND));
  }
}

/** A copy: each look into a slice of a long text goes by way of that text, and there will be thousands of them. */
const flat = (text: string): string => Buffer.from(text, "utf16le").toString("utf16le");

/** The readings of all stretches with other spellings, the first of each together, then the second, and so on. */
function spellings(text: string): readonly string[] {
  if (text.length <= STRETCH) return loosened(text, hintsOf(text));
  const found: string[][] = [];
  const hints = hintsOf(text);
  for (const stretch of stretches(text)) {
    for (const [index, reading] of loosened(stretch, hints).entries()) {
      const list = found[index] ?? [];
      found[index] = list;
      list.push(excerpt(stretch, reading));
    }
  }
  return found.map((list) => list.join("\n\n"));
}

/** Of a reading, from the first to the last place where it differs, and what stands around them. */
function excerpt(text: string, reading: string): string {
  const length = Math.min(text.length, reading.length);
  let ahead = 0;
  while (ahead < length && text.charCodeAt(ahead) === reading.charCodeAt(ahead)) ahead += 1;
  let behind = 0;
  while (
    behind < length - ahead &&
    text.charCodeAt(text.length - 1 - behind) === reading.charCodeAt(reading.length - 1 - behind)
  ) {
    behind += 1;
  }
  return reading.slice(Math.max(0, ahead - AROUND), reading.length - Math.max(0, behind - AROUND));
}
