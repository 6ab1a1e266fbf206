/** All the ways in which a text can be read: as it stands, folded, with spellings undone, and decoded, again and again. */
import { decode } from "./decode.ts";
import { fold, hidden } from "./fold.ts";
import { loosened } from "./loosen.ts";

export interface ViewBounds {
  /** Codes within codes. */
  readonly depthMax: number;
  /** Characters that views may have beyond those of the text, all together; and bytes that one code may unpack to. */
  readonly addedMax: number;
}

export const VIEW_BOUNDS: ViewBounds = { depthMax: 3, addedMax: 1 << 20 };

export interface Views {
  /** The text itself first. All are different. */
  readonly texts: readonly string[];
  /** Rules about what could not be read: `doubt.*` where nobody knows what it holds, `blob.opaque` for sealed bytes. */
  readonly findings: readonly string[];
}

export function viewsOf(text: string, bounds: ViewBounds): Views {
  const texts = new Set<string>();
  const findings = new Set<string>();
  let added = 0;

  const read = (view: string, depth: number): void => {
    if (texts.has(view)) return;
    if (depth > 0) {
      added += view.length;
      if (added > bounds.addedMax) {
        findings.add("doubt.views");
        return;
      }
    }
    texts.add(view);
    const folded = fold(view);
    const readings = new Set([folded, ...loosened(folded)]);
    for (const reading of readings) texts.add(reading);
    const unseen = folded === view ? "" : hidden(view);
    if (unseen !== "") deeper(unseen, depth);
    for (const reading of readings) {
      const { text: decoded, opaque, oversize } = decode(reading, bounds.addedMax);
      if (opaque) findings.add("blob.opaque");
      if (oversize) findings.add("doubt.views");
      if (decoded !== reading) deeper(decoded, depth);
    }
  };
  const deeper = (view: string, depth: number): void => {
    if (depth >= bounds.depthMax) findings.add("doubt.encoding-depth");
    else read(view, depth + 1);
  };

  read(text, 0);
  return { texts: [...texts], findings: [...findings] };
}
