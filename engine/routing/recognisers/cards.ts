/** Payment and bank cards: the length and first digits that issuers use, and Luhn's check digit. */
import { luhn } from "./checks.ts";
import { hasGrouping, isOneNumber } from "./numbers.ts";
import type { Recogniser } from "./recogniser.ts";
import { phrases } from "./word-list.ts";

/** First digits of the large schemes, with the lengths of their cards. */
const SCHEMES: readonly (readonly [RegExp, readonly number[]])[] = [
  [/^4/, [13, 16, 19]],
  [/^5[1-5]/, [16]],
  [/^2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)/, [16]],
  [/^3[47]/, [15]],
  [/^3(?:0[0-5]|[689])/, [14]],
  [/^35(?:2[89]|[3-8])/, [16]],
  [/^(?:6011|64[4-9]|65)/, [16]],
  [/^(?:5018|5020|5038|5[6-8]|6304|6759|676[1-3])/, [12, 13, 16, 18, 19]],
  [/^62/, [16, 17, 18, 19]],
  [/^9(?:4|5|55)/, [16, 18, 19]],
];
const LENGTHS = [12, 13, 14, 15, 16, 17, 18, 19];

export const card: Recogniser = {
  rule: "id.card",
  class: "personal",
  words: {
    card: phrases(`
      银行卡, 卡号, 信用卡, 储蓄卡, 借记卡, 账号, 账户, 银联, card, credit card, debit card, card number, cc, visa,
      mastercard, amex, american express, account, pan, unionpay`),
  },
  *find({ numbers, words }) {
    for (const length of LENGTHS) {
      for (const run of numbers.ofLength(length)) {
        if (!luhn(run.digits) || /^(\d)\1+$/.test(run.digits)) continue;
        const known = SCHEMES.some(([first, lengths]) => lengths.includes(length) && first.test(run.digits));
        const close = words.near("card", run, 32, 16);
        const whole = isOneNumber(run) || hasGrouping(run, "4-4-4-4", "4-4-4-4-3", "4-6-5", "6-13");
        if (close ? known || whole : known && whole && length >= 14 && !/^9/.test(run.digits)) yield run;
      }
    }
  },
  examples: {
    hits: [
      "4111 1111 1111 1111",
      "5500005555555559",
      "Amex 3782-822463-10005",
      "30569309025904",
      "3530111333300000",
      "6222020200112230",
      "银行卡6222021234567890128",
      "card 4222222222222",
      "4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1",
    ],
    misses: [
      "4111 1111 1111 1112",
      "1700000000000",
      "0000000000000000",
      "3.14159265358979323846",
      "4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1",
    ],
  },
};
