/** Changes the strings of a JSON text and leaves every other character as it is: no number is rounded, no field moves. */
import { type TextVisitor, Unreplaceable } from "./text-visitor.ts";

/** Names and values alike are texts; numbers are fixed. Throws Unreplaceable where the text is no JSON. */
export function mapJsonText(json: string, visitor: TextVisitor): string {
  if (!isJson(json)) throw new Unreplaceable("A text that should be JSON is none.");
  /** Names of the objects around, and of the field that is being read. */
  const around: string[] = [];
  let name = "";
  let out = "";
  let copied = 0;
  for (let index = 0; index < json.length; index += 1) {
    const character = json[index] as string;
    if (character === "{") {
      around.push(name);
      name = "";
    } else if (character === "}") {
      name = around.pop() ?? "";
    } else if (character === '"') {
      const end = endOfString(json, index);
      const text = JSON.parse(json.slice(index, end)) as string;
      const isName = /^\s*:/.test(json.slice(end, end + LOOK_AHEAD));
      const mapped = visitor.text(text, isName ? "" : labelOf(around, name));
      if (mapped !== text) {
        out += json.slice(copied, index) + JSON.stringify(mapped);
        copied = end;
      }
      if (isName) name = text;
      index = end - 1;
    } else if (/[-\d]/.test(character)) {
      const number = /^[-+.\deE]+/.exec(json.slice(index, index + NUMBER_MAX))?.[0] ?? "";
      if (number.length === NUMBER_MAX) throw new Unreplaceable("A number is too long to be read.");
      visitor.fixed(number, labelOf(around, name));
      index += number.length - 1;
    }
  }
  return out + json.slice(copied);
}

/** Blanks between a name and its colon; with more of them it is read as a value, which changes its label only. */
const LOOK_AHEAD = 16;
const NUMBER_MAX = 400;
/** As many names of a path as explain a value. */
const LABEL_NAMES = 3;

const labelOf = (around: readonly string[], name: string): string =>
  [...around.slice(1 - LABEL_NAMES), name].filter((each) => each !== "").join(" ");

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false; // the parser's message would quote the text
  }
}

/** Behind the closing quote of the string that begins at `start`. */
function endOfString(json: string, start: number): number {
  let index = start + 1;
  while (json[index] !== '"') index += json[index] === "\\" ? 2 : 1;
  return index + 1;
}
