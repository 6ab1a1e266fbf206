/** One screening, the same on either thread: a request's body, or the bytes that are about to leave, to a class. */
import { type Classification, type ClassifyPorts, classify } from "../routing/classify.ts";
import type { ScreeningTask } from "./protocol.ts";

/** The topic model, and how much may be read. */
export type Means = Omit<ClassifyPorts, "declared">;

/** Throws for bytes that are not what `JSON.stringify` writes. */
export function screen(task: ScreeningTask, means: Means): Classification {
  switch (task.kind) {
    case "body":
      return classify(task.body, { ...means, declared: task.declared });
    case "bytes":
      // As a parameter that nobody knows: everything in it is read, whatever its shape.
      return classify({ prompt: "", outgoing: unframed(written(task.bytes)) }, means);
  }
}

/**
 * The value that the bytes spell out. Only one spelling passes, the one that weir itself sends: else a second field of
 * the same name, or a byte that a lenient reader skips, would leave without having been read.
 */
function written(bytes: Uint8Array): unknown {
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  const value = JSON.parse(text) as unknown;
  if (JSON.stringify(value) !== text) throw new Error("the bytes are not in the form that weir sends");
  return value;
}

/** Words of the vendors' own in the places where they stand: they are not language, and say nothing of what is asked. */
const FRAME: Readonly<Record<string, ReadonlySet<unknown>>> = {
  role: new Set(["system", "developer", "user", "assistant", "tool", "function", "model"]),
  type: new Set(["text", "function", "tool_use", "tool_result"]),
};
const MODEL = /^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,199}$/;

/** What a backend is sent, without those words: everything that could be text of a request is left as it is. */
function unframed(value: unknown, top = true): unknown {
  if (Array.isArray(value)) return value.map((entry) => unframed(entry, false));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, entry]) => {
        // The model's name comes from the configuration; no other can be asked for.
        if (top && name === "model") return typeof entry !== "string" || !MODEL.test(entry);
        return !(Object.hasOwn(FRAME, name) && FRAME[name]?.has(entry) === true);
      })
      .map(([name, entry]) => [name, unframed(entry, false)]),
  );
}
