/** National numbers of the United Kingdom, Spain and Poland, each by its own check. */
import { isDay, weighted } from "./checks.ts";
import { hasGrouping, isOneNumber } from "./numbers.ts";
import type { Recogniser } from "./recogniser.ts";
import { isAlnumAt, lettersAhead, matches, tokenAt } from "./tokens.ts";
import { phrases } from "./word-list.ts";

export const nino: Recogniser = {
  rule: "id.uk-nino",
  class: "personal",
  *find({ text, numbers }) {
    for (const digits of numbers.starts) {
      const start = lettersAhead(text, digits, 2);
      if (start === -1 || isAlnumAt(text, start - 1)) continue;
      const token = tokenAt(text, start, 9);
      if (!/^(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]$/.test(token.value))
        continue;
      if (!/[A-Za-z0-9]/.test(text[token.end] ?? "")) yield token;
    }
  },
  examples: {
    hits: ["AB123456C", "NI number: ab 12 34 56 c", "JG-10-37-59-A"],
    misses: ["AB123456E", "DA123456C", "BG123456A", "AB1234567C", "XAB123456C"],
  },
};

export const nhs: Recogniser = {
  rule: "id.uk-nhs",
  class: "personal",
  words: {
    nhs: phrases("nhs, nhs number, nhs no, patient number, patient id, patient"),
  },
  *find({ numbers, words }) {
    for (const run of numbers.ofLength(10)) {
      const check = (11 - (weighted(run.digits, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 11;
      if (check !== Number(run.digits[9]) || /^(\d)\1+$/.test(run.digits)) continue;
      const written = hasGrouping(run, "3-3-4") && run.separator !== undefined;
      if (written || words.near("nhs", run, 32, 16)) yield run;
    }
  },
  examples: {
    hits: ["943 476 5919", "NHS number 9434765919", "401-023-2137"],
    misses: ["943 476 5918", "9434765919", "1700000000", "NHS 0000000000"],
  },
};

const DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE";

export const dni: Recogniser = {
  rule: "id.es-dni",
  class: "personal",
  *find({ text, numbers }) {
    if (!numbers.any) return;
    // Every grouping of the digits is one optional separator deep.
    const shape =
      /(?:[XYZxyz][ .-]?\d|\d)[ .-]?\d[ .-]?\d[ .-]?\d[ .-]?\d[ .-]?\d[ .-]?\d[ .-]?(?:\d[ .-]?)?[A-HJ-NP-TV-Za-hj-np-tv-z]/g;
    for (const { start, end, value } of matches(text, shape)) {
      const plain = value.replace(/[ .-]/g, "").toUpperCase();
      if (!/^(?:[XYZ]\d{7}|\d{8})[A-Z]$/.test(plain)) continue;
      const digits = plain.slice(0, -1).replace(/^[XYZ]/, (first) => String("XYZ".indexOf(first)));
      if (/^0+$/.test(digits)) continue;
      if (DNI_LETTERS[Number(digits) % 23] === plain.at(-1)) yield { start, end };
    }
  },
  examples: {
    hits: ["12345678Z", "DNI 12.345.678-Z", "NIE X1234567L", "y-7654321-g"],
    misses: ["12345678A", "0x12345678Z9", "1234567Z", "00000000T"],
  },
};

export const pesel: Recogniser = {
  rule: "id.pl-pesel",
  class: "personal",
  words: {
    pesel: phrases("pesel"),
  },
  *find({ numbers, words }) {
    for (const run of numbers.ofLength(11)) {
      const { digits } = run;
      const check = (10 - (weighted(digits, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10)) % 10;
      if (check !== Number(digits[10])) continue;
      const month = Number(digits.slice(2, 4));
      const century = [1900, 2000, 2100, 2200, 1800][Math.floor(month / 20)] as number;
      if (!isDay(century + Number(digits.slice(0, 2)), month % 20, Number(digits.slice(4, 6)))) continue;
      if (isOneNumber(run) || words.near("pesel", run, 24, 12)) yield run;
    }
  },
  examples: {
    hits: ["44051401359", "PESEL: 440514 01359", "02070803628"],
    misses: ["44051401358", "44951401359", "12345678901"],
  },
};
