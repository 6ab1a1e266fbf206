/** Where the model that comes with weir was compiled to, for commands that look at models without compiling one. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { MANIFEST_NAME } from "../../models/manifest.ts";
import { RESIDENT_NAME } from "../resident.ts";

export { RESIDENT_NAME } from "../resident.ts";

/** The newest compiled version, if the server has run once; older versions are left from updates. */
export function builtInFolders(home: string): readonly string[] {
  const parent = join(home, "built-in");
  if (!existsSync(parent)) return [];
  const folders = readdirSync(parent)
    .filter((name) => name.startsWith(`${RESIDENT_NAME}-`))
    .map((name) => join(parent, name))
    .filter((folder) => existsSync(join(folder, MANIFEST_NAME)));
  const byAge = folders.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  return byAge.slice(0, 1);
}
