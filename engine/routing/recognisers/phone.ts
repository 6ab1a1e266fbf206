/** Telephone numbers: as the world's numbering plans allow them, or any number that is called one. */
import { type CountryCode, parsePhoneNumberFromString } from "libphonenumber-js/max";
import { type DigitRun, hasGrouping, isOneNumber, isWrittenAsNumber } from "./numbers.ts";
import type { Recogniser } from "./recogniser.ts";
import { phrases } from "./word-list.ts";

/** Where a number that begins with 0 is tried as a national one. */
const REGIONS: readonly CountryCode[] = ["GB", "DE", "FR", "IT", "NL", "CH", "AU", "CN"];
/** The library is slow beside all else; what is plausible beyond this many numbers in one view counts as one. */
const LOOKUPS_MAX = 16;

export const phone: Recogniser = {
  rule: "contact.phone",
  class: "personal",
  words: {
    phone: phrases(`
      电话, 手机, 座机, 传真, 联系方式, 联系电话, 致电, 拨打, phone, telephone, tel, mobile, cell, cellphone, fax, whatsapp,
      hotline, phone number, mobile number, call me, text me, call, dial, ring, reach me, reach him,
      reach her, contact number, contact, sms, answering, answering at, messages to, message to`),
  },
  *find({ text, numbers, words }) {
    if (!numbers.any) return;
    let lookups = 0;
    for (let length = 15; length >= 7; length -= 1) {
      for (const run of numbers.ofLength(length)) {
        const shape = shapeOf(text, run);
        if (shape === undefined) {
          if (words.near("phone", run, 20, 8) && isCalled(text, run)) yield run;
          continue;
        }
        lookups += 1;
        if (lookups > LOOKUPS_MAX || isAssigned(run.digits, shape)) yield run;
      }
    }
  },
  examples: {
    hits: [
      "+44 20 7946 0958",
      "call +1-202-456-1111 now",
      "(202) 456-1111",
      "202.456.1111",
      "0049 30 901820",
      "030 90182000",
      "my phone is 4567890",
      "电话：021-62345678",
      "+8613800138000",
    ],
    misses: [
      "5+2024561111",
      "1700000000",
      "2024-05-06",
      "000-000-0000",
      "1234567",
      "00:00:12,500",
      "111 222 333",
    ],
  },
};

type Shape = "international" | "us" | "national";

function shapeOf(text: string, run: DigitRun): Shape | undefined {
  if (isBehindPlus(text, run.start) || (run.digits.startsWith("00") && isOneNumber(run))) {
    return "international";
  }
  const { digits, sizes } = run;
  // Shapes first: what stands between the digits is dearer to look at, and most numbers are of no shape.
  if (sizes.length < 2) return undefined;
  const isAmerican = hasGrouping(run, "3-3-4", "1-3-3-4");
  if (!isAmerican && (digits[0] !== "0" || digits.length < 9 || digits.length > 12)) return undefined;
  if (!/^[\d ().\-·_]*$/.test(text.slice(run.start, run.end))) return undefined;
  return isAmerican ? "us" : "national";
}

/** A plus directly ahead, or over a blank or bracket; none of a sum. */
function isBehindPlus(text: string, start: number): boolean {
  const last = text[start - 1];
  if (last !== "+" && last !== " " && last !== "(") return false;
  return /(?:^|[^\w)])\+[ (]?$/.test(text.slice(Math.max(0, start - 3), start));
}

/** Whether it may be a number that somebody is told to call: written as one, and no date. */
const isCalled = (text: string, run: DigitRun): boolean =>
  (isOneNumber(run) || isWrittenAsNumber(text, run)) && !/^(?:19|20)\d{6}$/.test(run.digits);

function isAssigned(digits: string, shape: Shape): boolean {
  if (shape === "international") return isValid(`+${digits.replace(/^00/, "")}`);
  if (shape === "us") return isValid(digits, "US");
  return REGIONS.some((region) => isValid(digits, region));
}

function isValid(digits: string, region?: CountryCode): boolean {
  return parsePhoneNumberFromString(digits, region)?.isValid() ?? false;
}
