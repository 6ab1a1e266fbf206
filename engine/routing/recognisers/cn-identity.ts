/** Resident identity numbers of China: GB 11643 with its check character, and the older fifteen digits by context. */
import { isDay, weighted } from "./checks.ts";
import type { DigitRun } from "./numbers.ts";
import type { Recogniser } from "./recogniser.ts";
import { phrases } from "./word-list.ts";

const WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECKS = "10X98765432";
const PROVINCES = new Set(
  "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83".split(
    " ",
  ),
);

export const cnIdentity: Recogniser = {
  rule: "id.cn-resident",
  class: "personal",
  words: {
    "cn-identity": phrases(
      "身份证, 证件号, 公民身份, 居民身份, id card, identity card, resident id, identity number",
    ),
  },
  *find({ text, numbers, words }) {
    for (const run of numbers.ofLength(18)) {
      if (isResident(run.digits)) yield run;
    }
    for (const run of numbers.ofLength(17)) {
      const end = endWithX(text, run);
      if (end > 0 && isResident(`${run.digits}X`)) yield { start: run.start, end };
    }
    for (const run of numbers.ofLength(15)) {
      if (isOldResident(run.digits) && words.near("cn-identity", run, 24, 12)) yield run;
    }
  },
  examples: {
    hits: [
      "身份证号11010519491231002X。",
      "my id: 440308199901101512",
      "11010519491231002x",
      "ID 110105-19491231-002X",
      "1 1 0 1 0 5 1 9 4 9 1 2 3 1 0 0 2 X",
      "身份证 110105491231002",
    ],
    misses: [
      "11010519491231002Y",
      "440308199901101513",
      "440308199913101512",
      "订单 123456789012345678",
      "110105491231002",
    ],
  },
};

function isResident(number: string): boolean {
  if (!PROVINCES.has(number.slice(0, 2))) return false;
  const year = Number(number.slice(6, 10));
  if (year < 1900 || year > 2099) return false;
  if (!isDay(year, Number(number.slice(10, 12)), Number(number.slice(12, 14)))) return false;
  return CHECKS[weighted(number, WEIGHTS) % 11] === number[17];
}

const isOldResident = (number: string): boolean =>
  PROVINCES.has(number.slice(0, 2)) &&
  isDay(1900 + Number(number.slice(6, 8)), Number(number.slice(8, 10)), Number(number.slice(10, 12)));

/** Behind the X that ends the run, also over one separator; 0 where there is none. */
function endWithX(text: string, run: DigitRun): number {
  const at = run.end + (/[\s._·-]/.test(text[run.end] ?? "") ? 1 : 0);
  return /[xX]/.test(text[at] ?? "") && !/[A-Za-z0-9]/.test(text[at + 1] ?? "") ? at + 1 : 0;
}
