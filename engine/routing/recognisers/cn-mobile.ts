/** Mobile numbers of China: eleven digits that begin with 13 to 19, also behind 86. */
import { hasGrouping, isOneNumber, isWrittenAsNumber } from "./numbers.ts";
import type { Recogniser } from "./recogniser.ts";
import { phrases } from "./word-list.ts";

export const cnMobile: Recogniser = {
  rule: "contact.cn-mobile",
  class: "personal",
  words: {
    "cn-mobile": phrases("手机, 电话, 联系方式, 联系, 微信, 致电, 拨打, mobile, phone, tel, cell, call"),
  },
  *find({ text, numbers, words }) {
    for (const [length, prefix] of [
      [11, ""],
      [13, "86"],
      [15, "0086"],
    ] as const) {
      for (const run of numbers.ofLength(length)) {
        if (!run.digits.startsWith(prefix) || !/^1[3-9]/.test(run.digits.slice(prefix.length))) continue;
        const plain = isOneNumber(run) || hasGrouping(run, "3-4-4", "2-3-4-4", "2-11", "4-11", "4-3-4-4");
        if (plain || (isWrittenAsNumber(text, run) && words.near("cn-mobile", run, 24, 12))) yield run;
      }
    }
  },
  examples: {
    hits: [
      "请打13800138000找我",
      "138 0013 8000",
      "138-0013-8000",
      "+86 13800138000",
      "008613800138000",
      "1-3-8-0-0-1-3-8-0-0-0",
      "tel:13800138000",
    ],
    misses: [
      "12800138000",
      "1380013800",
      "138001380001",
      "π ≈ 3.13800138000",
      "13, 80, 01, 38, 00, 0",
      "175000-50000",
    ],
  },
};
