/**
 * When native code crashes, the system may write the process's memory to a file, and requests stand in it. Linux can be
 * told to leave memory out of it; other systems write none unless somebody asks for it.
 */
import { writeFileSync } from "node:fs";

/** Bits for each kind of memory; children inherit it. */
const FILTER = "/proc/self/coredump_filter";

export function keepMemoryOutOfDumps(): void {
  try {
    writeFileSync(FILTER, "0");
  } catch {
    // Not Linux, or a container that shows no /proc to write to: docs/privacy.md says what remains to be done there.
  }
}
