/** Aadhaar numbers of India: twelve digits with Verhoeff's check. */
import { isDay, verhoeff } from "./checks.ts";
import { hasGrouping, isOneNumber } from "./numbers.ts";
import type { Recogniser } from "./recogniser.ts";
import { phrases } from "./word-list.ts";

export const aadhaar: Recogniser = {
  rule: "id.in-aadhaar",
  class: "personal",
  words: {
    aadhaar: phrases("aadhaar, aadhar, adhaar, uidai, uid"),
  },
  *find({ numbers, words }) {
    for (const run of numbers.ofLength(12)) {
      if (!/^[2-9]/.test(run.digits) || !verhoeff(run.digits)) continue;
      const close = words.near("aadhaar", run, 32, 16);
      const plain = hasGrouping(run, "4-4-4") || (isOneNumber(run) && !isMoment(run.digits));
      if (close || plain) yield run;
    }
  },
  examples: {
    hits: ["2345 6789 0124", "aadhaar 234567890124", "234567890124"],
    misses: ["2345 6789 0125", "123456789012", "034567890124", "202405061233"],
  },
};

/** A year, month, day, hour and minute written as one number. */
const isMoment = (digits: string): boolean =>
  /^20/.test(digits) &&
  isDay(Number(digits.slice(0, 4)), Number(digits.slice(4, 6)), Number(digits.slice(6, 8))) &&
  Number(digits.slice(8, 10)) < 24 &&
  Number(digits.slice(10)) < 60;
