/** What to pull: `ORG/NAME[:revision]`. */
import { final } from "./hub-error.ts";

export interface HubReference {
  /** `org/name` */
  readonly repository: string;
  /** Branch, tag or commit. */
  readonly revision: string;
}

const PART = /^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$/;
const REVISION = /^[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}$/;

export function parseReference(text: string): HubReference {
  const colon = text.indexOf(":");
  const repository = colon < 0 ? text : text.slice(0, colon);
  const revision = colon < 0 ? "main" : text.slice(colon + 1);
  const parts = repository.split("/");
  const [organisation = "", name = ""] = parts;
  const good = parts.length === 2 && PART.test(organisation) && PART.test(name) && !repository.includes("..");
  if (!good || !REVISION.test(revision) || revision.includes("..")) {
    throw final(
      `${JSON.stringify(text.slice(0, 120))} is not ORG/NAME or ORG/NAME:revision, as in Qwen/Qwen3-0.6B:main.`,
    );
  }
  return { repository, revision };
}
