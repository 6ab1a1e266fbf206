/** Reasons not to start although every setting is valid by itself: keys, secrets and a model that are not there. */
import { keyProblems } from "../config/exposure.ts";
import { secretProblems } from "../config/secrets.ts";
import type { Inspection, Problem } from "../config.ts";

/** For a configuration without problems; the same ones at the start and from `weir config check`. */
export async function startProblems(found: Inspection): Promise<readonly Problem[]> {
  // It brings what reads models along: at the start only after signals are heard.
  const { defaultModelProblems } = await import("./default-model.ts");
  const secrets = await secretProblems(found.config);
  return [...keyProblems(found.config), ...secrets, ...defaultModelProblems(found)];
}
