/** Data sets for development, beside the checkout. Where they are absent, the tests that need them are skipped by name. */
import { existsSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..", "..", "shared", "data");

/** Absolute path of a file or folder in the shared data. */
export const shared = (...parts: readonly string[]): string => join(ROOT, ...parts);

export const hasShared = (...parts: readonly string[]): boolean => existsSync(shared(...parts));

/** A test's name, with the reason where it will be skipped. */
export const named = (name: string, present: boolean): string =>
  present ? name : `${name} (skipped: ../shared is absent)`;
