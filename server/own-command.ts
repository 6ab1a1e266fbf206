/** How this user calls weir, for messages that say what to type next. */
import { sep } from "node:path";

/**
 * In a clone through npm, which finds the right Node; `captured`: where a script takes what the command writes, so that npm
 * must not write too.
 */
export function ownCommand(output: "shown" | "captured" = "shown"): string {
  if (import.meta.filename.includes(`${sep}node_modules${sep}`)) return "weir";
  return output === "captured" ? "npm run --silent weir --" : "npm run weir --";
}
