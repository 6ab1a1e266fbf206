/**
 * What packages ask of Node. npm holds it against the host's Node and warns of each package that wants a newer one, though
 * none runs there: the npm package `node` is first on the path of every script. What weir itself asks of the host stays.
 */
import type { LockEntry, LockPackages } from "./platforms.ts";

/** The same entries, without `engines` in any but the project's own. */
export function withoutEngines(packages: LockPackages): LockPackages {
  return Object.fromEntries(
    Object.entries(packages).map(([folder, entry]) => [folder, stripped(folder, entry)]),
  );
}

function stripped(folder: string, { engines, ...rest }: LockEntry): LockEntry {
  return folder === "" && engines !== undefined ? { ...rest, engines } : rest;
}
