/** The policy in force where the configuration names no file. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type LoadedPolicy, parsePolicy } from "./policy-file.ts";

const NAME = "built-in.yaml";

export const BUILT_IN_POLICY: LoadedPolicy = parsePolicy(
  readFileSync(join(import.meta.dirname, NAME), "utf8"),
  NAME,
);
