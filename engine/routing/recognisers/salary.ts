/** What somebody is paid: an amount beside a word for pay. */
import type { Recogniser } from "./recogniser.ts";
import { matchesNear } from "./tokens.ts";
import { phrases } from "./word-list.ts";

const AMOUNT =
  /(?:[$€£¥₹]|\b(?:usd|eur|gbp|rmb|cny|inr|chf|hkd))[ ]?\d[\d,.]{0,14}[ ]?[km万]?|\b\d[\d,.]{0,14}[ ]?(?:k\b|元|万|块|千|usd\b|eur\b|rmb\b|cny\b|gbp\b|dollars?\b|euros?\b|pounds?\b|yuan\b|per (?:year|month|annum)|an? (?:year|month)|\/(?:year|month|mo|yr)\b)|\b\d{2,3}[,.]?\d{3}\b|\b\d{2,3}%/gi;

export const salary: Recogniser = {
  rule: "hr.salary",
  class: "restricted",
  words: {
    pay: phrases(`
      工资, 薪资, 月薪, 年薪, 薪水, 薪酬, 底薪, 年终奖, 奖金, 税前, 税后, 时薪, 加班费, 薪金, 涨薪, 调薪, salary, salaries, base pay, base
      salary, payroll, payslip, pay slip, pay stub, paystub, total compensation, annual compensation, base compensation, compensation package, compensation is, severance, pay rise, pay
      raise, take home pay, gross pay, net pay, annual pay, remuneration, ctc, signing bonus, annual
      bonus, yearly bonus`),
  },
  *find({ text, words }) {
    for (const span of matchesNear(text, words.of("pay"), { before: 40, after: 24 }, AMOUNT)) {
      if (words.near("pay", span, 40, 24)) yield span;
    }
  },
  examples: {
    hits: [
      "her salary is $84,000",
      "月薪15000元",
      "年薪30万，税前",
      "base pay: EUR 5.200",
      "salary=92000",
      "a bonus? annual bonus of 15%",
      "total compensation of 120k",
    ],
    misses: [
      "what does salary mean",
      "the tomatoes cost $84,000",
      "salary in 2024",
      "payroll software with 3 modules",
    ],
  },
};
