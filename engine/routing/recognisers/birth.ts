/** Dates of birth: a date beside the word. People who would be over a hundred and ten are history. */
import type { Recogniser } from "./recogniser.ts";
import { matchesNear } from "./tokens.ts";
import { phrases } from "./word-list.ts";

const MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec";
const YEAR = "(?:19[2-9]\\d|20[0-2]\\d)";
const DATES = new RegExp(
  [
    `${YEAR}[-/.年 ]{1,3}\\d{1,2}[-/.月 ]{1,3}\\d{1,2}`,
    `\\d{1,2}[-/. ]{1,2}\\d{1,2}[-/. ]{1,2}(?:${YEAR}|\\d{2}(?!\\d))`,
    `\\d{1,2}(?:st|nd|rd|th)?[-/. ]{1,2}(?:of )?(?:${MONTHS})[a-z]{0,6}[-/., ]{1,2}${YEAR}`,
    `(?:${MONTHS})[a-z]{0,6}[-/. ]{1,2}\\d{1,2}(?:st|nd|rd|th)?[-/., ]{1,2}${YEAR}`,
    `${YEAR}(?:0[1-9]|1[0-2])(?:[0-2]\\d|3[01])(?!\\d)`,
  ].join("|"),
  "gi",
);

export const birth: Recogniser = {
  rule: "id.date-of-birth",
  class: "personal",
  words: {
    birth: phrases(`
      出生日期, 出生年月, 出生于, 生日, 生于, 出生, date of birth, dob, d.o.b, birth date, birthdate, birthday, born on,
      born`),
  },
  *find({ text, words }) {
    for (const span of matchesNear(text, words.of("birth"), { before: 24, after: 12 }, DATES)) {
      if (words.near("birth", span, 24, 12)) yield span;
    }
  },
  examples: {
    hits: [
      "DOB: 1990-03-07",
      "date of birth 07/03/1990",
      "born on 7th of March 1990",
      "出生日期：1990年3月7日",
      '"birthDate": "19900307"',
      "She was born March 7, 1990",
    ],
    misses: ["Goethe was born on 28 August 1749", "1990-03-07", "born in 1990", "released on 7 March 1990"],
  },
};
