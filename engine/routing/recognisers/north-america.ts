/** Social security numbers of the United States and social insurance numbers of Canada. */
import { luhn } from "./checks.ts";
import { hasGrouping } from "./numbers.ts";
import type { Recogniser } from "./recogniser.ts";
import { phrases } from "./word-list.ts";

export const ssn: Recogniser = {
  rule: "id.us-ssn",
  class: "personal",
  words: {
    ssn: phrases(`
      ssn, social security, social security number, social security no, itin, taxpayer id, tax id,
      社会安全号, 社保号`),
  },
  *find({ numbers, words }) {
    for (const run of numbers.ofLength(9)) {
      if (!/^(?!000|666)\d{3}(?!00)\d{2}(?!0000)/.test(run.digits)) continue;
      const close = words.near("ssn", run, 48, 24);
      const written = hasGrouping(run, "3-2-4") && /^[-.·_/]$/.test(run.separator ?? "");
      if (close || (written && run.digits[0] !== "9")) yield run;
    }
  },
  examples: {
    hits: [
      "078-05-1120",
      "SSN 078051120",
      "my social security number is 078 05 1120",
      "ssn: 0-7-8-0-5-1-1-2-0",
      "219.09.9999",
    ],
    misses: ["000-12-3456", "666-12-3456", "078051120", "123-00-4567", "12-34-56789", "[213,21,4597]"],
  },
};

export const sin: Recogniser = {
  rule: "id.ca-sin",
  class: "personal",
  words: {
    sin: phrases(`
      social insurance, social insurance number, canadian sin, sin number, sin no, my sin, sin, numéro d
      assurance sociale`),
  },
  *find({ numbers, words }) {
    for (const run of numbers.ofLength(9)) {
      if (!luhn(run.digits) || /^[08]/.test(run.digits)) continue;
      const written = hasGrouping(run, "3-3-3") && (run.separator === "-" || run.separator === " ");
      if (written || words.near("sin", run, 32, 16)) yield run;
    }
  },
  examples: {
    hits: ["130-692-544", "SIN: 130692544", "130 692 544", "social insurance number 130692544"],
    misses: ["130-692-545", "130692544", "046 454 286"],
  },
};
