/** Names of models and the folders that they stand for; nothing else ever becomes a path. */
import { ModelError } from "./model-error.ts";

const PART = "[A-Za-z0-9][A-Za-z0-9._-]{0,126}";
const NAME = new RegExp(`^${PART}(/${PART})?$`);
const NAME_CHARACTERS_MAX = 128;

export const isModelName = (name: string): boolean => name.length <= NAME_CHARACTERS_MAX && NAME.test(name);

export function checkModelName(name: string): void {
  if (isModelName(name)) return;
  const shown = JSON.stringify(name.slice(0, 80));
  throw new ModelError(
    `${shown} cannot be a model's name: it starts with a letter or digit, goes on with those, dots, dashes and ` +
      `underscores, may have one / in between, and has at most ${NAME_CHARACTERS_MAX} characters.`,
  );
}

/** `org/name` -> `org+name`: a plus never stands in a name, so no two names share a folder. */
export function folderOfName(name: string): string {
  checkModelName(name);
  return name.replace("/", "+");
}

/** Undefined for a folder that no name leads to. */
export function nameOfFolder(folder: string): string | undefined {
  const name = folder.replace("+", "/");
  return isModelName(name) && !folder.includes("/") ? name : undefined;
}
