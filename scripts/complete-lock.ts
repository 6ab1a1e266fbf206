/**
 * Adds to package-lock.json the entries of other systems' packages that `npm install` left out, and takes out what
 * packages say of the host's Node; run it after every `npm install` that changed the lock. Installs nothing.
 *
 *   node scripts/complete-lock.ts
 */
import { readFileSync, writeFileSync } from "node:fs";
import { withoutEngines } from "./lock/engines.ts";
import { type LockPackages, missingPlatformPackages } from "./lock/platforms.ts";

const file = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(file, "utf8")) as { packages: LockPackages };
const missing = missingPlatformPackages(lock.packages);
const added = Object.fromEntries(missing.map(({ folder, entry }) => [folder, entry]));
const sorted = Object.entries(withoutEngines({ ...lock.packages, ...added })).sort(([a], [b]) =>
  a.localeCompare(b, "en"),
);
writeFileSync(file, `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`);
console.log(missing.length === 0 ? "package-lock.json is complete" : `added ${missing.length} entries`);
