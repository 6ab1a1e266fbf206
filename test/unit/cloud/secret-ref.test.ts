import { expect, test } from "vitest";
import { secretRef } from "../../../engine/cloud/secret-ref.ts";

test.each(["env:OPENAI_API_KEY", "env:_a1", "file:/run/secrets/key", "file:keys/a b.txt"])(
  "%s is a reference",
  (text) => expect(secretRef(text)).toBe(text),
);

test.each([
  "sk-proj-abcdef0123456789",
  "env:",
  "env:1A",
  "env:A B",
  "file:",
  "ENV:A",
  " env:A",
  "file:a\nb",
  "",
])("%j is none, and the refusal does not repeat it", (text) => {
  expect(() => secretRef(text)).toThrow(RangeError);
  if (text.length > 12) expect(() => secretRef(text)).not.toThrow(text);
});
