/** Numbers by which a company knows its people. */
import type { Recogniser } from "./recogniser.ts";
import { matchesNear } from "./tokens.ts";
import { phrases } from "./word-list.ts";

export const employee: Recogniser = {
  rule: "hr.employee-id",
  class: "restricted",
  words: {
    employee: phrases(`
      工号, 员工编号, 员工号, 职工号, 人员编号, 员工id, employee id, employee number, employee no, employee code, emp id,
      emp no, staff id, staff number, staff no, personnel number, personnel no, badge number, badge id,
      worker id, payroll number, payroll id, workday id`),
  },
  *find({ text, words }) {
    for (const span of matchesNear(
      text,
      words.of("employee"),
      { before: 16, after: 4 },
      /(?<![A-Za-z0-9])(?:[A-Za-z]{1,5}[-_#]?\d{2,12}|\d{4,12}|0\d{1,11})/g,
    )) {
      if (words.near("employee", span, 16, 4)) yield span;
    }
  },
  examples: {
    hits: [
      "工号：A10234",
      "employee ID is E-20931",
      "employeeId: 4711",
      "Staff no. 00231",
      '"emp_id":"W5512"',
    ],
    misses: ["an employee handbook of 120 pages", "E-20931", "the employee number is 200"],
  },
};
