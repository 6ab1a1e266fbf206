/**
 * Words of personnel work. Some are said of real people only; the others need somebody near who is meant by them, so that
 * a question about labour law stays a question.
 */
import type { Recogniser } from "./recogniser.ts";
import { phrases } from "./word-list.ts";

export const hr: Recogniser = {
  rule: "hr.words",
  class: "restricted",
  words: {
    "hr-matter": phrases(`
      performance improvement plan, disciplinary action, disciplinary hearing, disciplinary meeting,
      written warning, termination letter, letter of termination, termination of employment, exit
      interview, personnel file, employee file, employee record, employee records, performance rating,
      performance appraisal, payroll run, pay stub, payslip, leave balance, pto balance, vacation
      balance, sick leave request, leave request, time off request, pto request, hr complaint,
      harassment complaint, grievance procedure, salary review, headcount reduction, layoff list,
      workers compensation claim, benefits enrollment, open enrollment, direct deposit form, hr business
      partner, hrbp, 绩效改进计划, 绩效面谈, 绩效评级, 离职面谈, 离职证明, 劝退, 解除劳动合同, 辞退通知, 裁员名单, 警告信, 员工档案, 人事档案, 工资条, 工资单,
      花名册, 请假条, 年假余额, 调薪, 背调, 候选人评估, 面试评价, 纪律处分, 转正申请, 离职申请, 请假申请`),
    "hr-theme": phrases(`
      pto, paid time off, time off, vacation days, vacation day, annual leave, sick leave, sick day,
      sick days, maternity leave, paternity leave, parental leave, medical leave, leave of absence,
      bereavement leave, fmla, performance review, demotion, probation, severance, redundancy, laid off,
      layoff, resignation, notice period, payroll, pay raise, pay rise, overtime pay, 401k, w2, w 2,
      direct deposit, human resources, hr department, hr team, grievance, harassment, employment
      contract, offer letter, health insurance plan, dental plan, reimbursement, expense report, work
      from home request, accommodation request, 绩效, 离职, 辞职, 解雇, 辞退, 裁员, 开除, 试用期, 转正, 劳动合同, 劳动仲裁, 入职, 请假,
      病假, 年假, 产假, 陪产假, 婚假, 事假, 调休, 考勤, 加班费, 社保, 公积金, 年终奖, 人事, 人力资源, 晋升, 职级, 竞业`),
    "hr-pay": phrases("salary, salaries, paycheck, payday, 工资, 薪资, 薪酬, 薪水"),
    "hr-own": phrases(`
      my, our, ours, employee, employees, colleague, coworker, direct report, new hire, candidate, 我, 我们,
      他, 她, 本公司, 我司, 同事, 员工, 下属, 候选人`),
    "hr-person": phrases(`
      my, mine, our, ours, his, her, their, i, i m, we, us, me, he, she, employee, employees, colleague,
      coworker, co-worker, my manager, team member, teammate, direct report, staff member, new hire,
      candidate, applicant, 我, 我们, 他, 她, 本公司, 我司, 同事, 员工, 下属, 领导, 经理, 候选人, 组员, 小王, 小李, 小张`),
  },
  *find({ words }) {
    yield* words.of("hr-matter");
    for (const theme of words.of("hr-theme")) {
      if (words.near("hr-person", theme, 80, 80)) yield theme;
    }
    // Every sum about somebody's wages has "her salary" in it: pay takes a narrower word.
    for (const pay of words.of("hr-pay")) {
      if (words.near("hr-own", pay, 24, 24)) yield pay;
    }
  },
  examples: {
    hits: [
      "Draft a performance improvement plan for Dana",
      "how many vacation days do I have left?",
      "她的年假还剩几天？",
      "张三的绩效改进计划",
      "put our new colleague on payroll",
      "我想申请病假",
    ],
    misses: [
      "What does severance mean in labour law?",
      "A promotion of pawns happens on the last rank",
      "写一首关于春天的诗",
      "Explain how payroll taxes work in Spain",
    ],
  },
};
