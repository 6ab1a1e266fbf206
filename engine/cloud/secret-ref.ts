/** Secrets stand in the configuration as references, and are read when they are needed: nothing keeps their text. */
import type { Brand } from "../core/brand.ts";

/** `env:NAME` or `file:PATH`. Harmless: it may be shown and logged. */
export type SecretRef = Brand<string, "SecretRef">;

/** Reads a secret each time anew, so that a changed file counts at once. Rejects where there is none. */
export type SecretResolver = (reference: SecretRef) => Promise<string>;

const REFERENCE = /^(?:env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:[^\0\r\n]{1,1024})$/;

/** Throws RangeError without the text: what is no reference may be the secret itself, pasted by mistake. */
export function secretRef(text: string): SecretRef {
  if (!REFERENCE.test(text)) {
    throw new RangeError("a secret is given by reference: env:NAME or file:PATH, not as its own text");
  }
  return text as SecretRef;
}
