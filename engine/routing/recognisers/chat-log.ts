/** Messages that people exchanged: pasted chats and exports, by the shape of their lines; and mail with its head. */
import type { Recogniser, Span } from "./recogniser.ts";

const TIME = "\\d{1,2}[:.：]\\d{2}(?:[:.：]\\d{2})?\\s?(?:[AaPp]\\.?[Mm]\\.?)?";
const DATE =
  "(?:\\d{1,4}[-/.年]\\d{1,2}[-/.月]\\d{1,4}日?|(?:today|yesterday|今天|昨天|星期.)(?: at)?|(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6})";
const NAME = "([\\p{L}~@][\\p{L}\\p{N} ._'’~-]{0,39}?)";

/** Lines whose head names a speaker beside a time. */
const TIMED: readonly RegExp[] = [
  new RegExp(`^\\[?${DATE}[,\\s]{1,3}${TIME}\\]?\\s{0,2}[-–:]?\\s{0,2}<?${NAME}>?\\s?[:：]`, "iu"),
  new RegExp(`^[[(]${TIME}[\\])]\\s{0,2}<?${NAME}>?\\s?[:：>]`, "iu"),
  new RegExp(`^\\[?${TIME}\\]?\\s{1,2}<[@+ ]?${NAME}>`, "iu"),
  new RegExp(`^<?${NAME}>?\\s{0,3}[[(,—–-]?\\s?(?:${DATE}[,\\s]{1,3})?${TIME}[\\])]?\\s?(?:[:：-]|$)`, "iu"),
];
/** As `10:31 Bob: hi`, which is also how plans and server logs look: it takes a name that comes again. */
const AGENDA = new RegExp(`^\\[?${TIME}\\]?\\s{1,3}${NAME}[:：]\\s`, "iu");
/** `<Bob> hi`. */
const ANGLED = new RegExp(`^<[@+ ]?${NAME}>\\s`, "iu");
/** `Bob: hi`, where a script or a form may be meant as well. */
const PLAIN = /^(\p{Lu}[\p{L}.'’-]{1,20}(?: \p{Lu}[\p{L}.'’-]{0,20}){0,2}|\p{Script=Han}{2,4})\s?[:：]\s?\S/u;

const CLOCK = /\d[:.：]\d{2}/;

function firstName(shapes: readonly RegExp[], head: string): string | undefined {
  for (const shape of shapes) {
    const name = shape.exec(head)?.[1];
    if (name !== undefined) return name;
  }
  return undefined;
}

const LABELS = new Set(
  (
    "user assistant system human ai bot chatbot model gpt chatgpt q a question answer input output note notes example " +
    "info warn warning error debug trace fatal notice critical title name step hint result solution explanation task " +
    "context premise hypothesis sentence review label options option problem instruction instructions response prompt " +
    "subject to from date cc re fwd summary todo pros cons yes no true false category text day night morning evening"
  ).split(" "),
);
const LABELS_HAN = new Set(
  "用户 助手 系统 问题 回答 答案 问 答 输入 输出 示例 注意 标题 说明 例如 提示 要求 步骤 结果 姓名 日期 时间 地点".split(
    " ",
  ),
);
/** Of a line, only its head is read. */
const HEAD = 120;

export const chatLog: Recogniser = {
  rule: "chat.log",
  class: "restricted",
  *find({ text }) {
    const timed = new Speakers();
    const agenda = new Speakers();
    const angled = new Speakers();
    const plain = new Speakers();
    for (let start = 0; start < text.length; ) {
      const stop = text.indexOf("\n", start);
      const end = stop === -1 ? text.length : stop;
      const head = text.slice(start, Math.min(end, start + HEAD)).trim();
      start = end + 1;
      if (CLOCK.test(head)) {
        timed.say(firstName(TIMED, head));
        agenda.say(AGENDA.exec(head)?.[1]);
      }
      if (head.startsWith("<")) angled.say(ANGLED.exec(head)?.[1]);
      else if (/[:：]/.test(head)) plain.say(PLAIN.exec(head)?.[1]);
    }
    const whole: Span = { start: 0, end: text.length };
    if (timed.names >= 2) yield whole;
    else if (agenda.names >= 2 && agenda.again >= 1) yield whole;
    else if (angled.names >= 2 && angled.again >= 1) yield whole;
    else if (plain.again >= 2 && plain.names >= 2) yield whole;
  },
  examples: {
    hits: [
      "Bob 10:31: is Ann in?\nAnn 10:32: yes",
      "[12/05/2024, 10:31:22] Bob Lee: hi\n[12/05/2024, 10:32:01] Ann: hello",
      "12/05/24, 10:31 - Bob: hi\n12/05/24, 10:33 - Ann: lunch?",
      "张三 2024-05-06 10:31:22\n在吗\n李四 2024-05-06 10:32:00\n在",
      "[10:31] <bob> hi\n[10:32] <ann> hello",
      "<bob> hi\n<ann> hello\n<bob> lunch?",
      "Bob Lee  10:31 AM\nis it done\nAnn Ray  10:35 AM\nnearly",
      "10:31 Bob: hi\n10:32 Ann: hello\n10:33 Bob: lunch?",
      "Bob: hi\nAnn: hello\nBob: lunch?\nAnn: sure",
      "王伟：在吗\n李娜：在\n王伟：周五一起吃饭\n李娜：好",
    ],
    misses: [
      "User: hi\nAssistant: hello\nUser: sum 1 and 2\nAssistant: 3",
      "10:00 Breakfast: eggs\n12:00 Lunch: soup\n18:00 Dinner: fish",
      "2024-05-06 10:31:22 INFO: started\n2024-05-06 10:31:23 ERROR: failed",
      "name: x\nversion: 1\nname: y\nversion: 2",
      "Q: what is 2+2?\nA: 4\nQ: and 3+3?\nA: 6",
      "<div> a\n<p> b\n<div> c",
      "Input: 4 5\nOutput: 9\nInput: 1 1\nOutput: 2",
    ],
  },
};

export const chatExport: Recogniser = {
  rule: "chat.export",
  class: "restricted",
  *find({ text }) {
    const whole: Span = { start: 0, end: text.length };
    const senders = new Set<string>();
    if (text.includes('"')) for (const match of text.matchAll(SENDER)) senders.add(match[1] as string);
    if (senders.size >= 2 && count(text, BODY, 2) >= 2) yield whole;
    if (/subject|主题/i.test(text) && MAIL.test(text)) yield whole;
    else if (text.includes(" wrote:") && WROTE.test(text)) yield whole;
  },
  examples: {
    hits: [
      '[{"sender": "Bob", "text": "hi"}, {"sender": "Ann", "text": "hello"}]',
      "From: Bob Lee\nSent: Monday\nTo: Ann Ray\nSubject: Friday\n\nHi Ann",
      "发件人：王伟\n收件人：李娜\n主题：周五\n你好",
      "On Mon, 6 May 2024 at 10:31, Bob Lee wrote:\n> hi",
    ],
    misses: [
      '[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]',
      '{"sender": "Bob", "amount": 3}',
      "From: Berlin\nTo: Paris",
      "from x import y\nto: z",
    ],
  },
};

const SENDER =
  /"(?:from|sender|sender_name|author|speaker|nickname|from_user|username)"\s{0,3}:\s{0,3}"([^"\n]{1,60})"/gi;
const BODY = /"(?:text|message|body|content|msg)"\s{0,3}:/gi;
const MAIL =
  /^[ >]{0,4}(?:From|发件人)\s?[:：][^\n]{1,200}\n(?:[ >]{0,4}(?:Sent|Date|To|Cc|发送时间|日期|收件人|抄送)\s?[:：][^\n]{1,300}\n){1,5}[ >]{0,4}(?:Subject|主题)\s?[:：]/im;
const WROTE = /^[ >]{0,4}On [^\n]{6,120} wrote:\s?$/m;

function count(text: string, pattern: RegExp, enough: number): number {
  let found = 0;
  for (const _ of text.matchAll(pattern)) {
    found += 1;
    if (found >= enough) break;
  }
  return found;
}

/** Who speaks, and how many of them speak again. */
class Speakers {
  readonly #lines = new Map<string, number>();

  say(name: string | undefined): void {
    const plain = name?.trim().toLowerCase();
    if (plain === undefined || plain === "" || LABELS.has(plain) || LABELS_HAN.has(plain)) return;
    if (ELEMENTS.has(plain)) return;
    this.#lines.set(plain, (this.#lines.get(plain) ?? 0) + 1);
  }

  get names(): number {
    return this.#lines.size;
  }

  get again(): number {
    return [...this.#lines.values()].filter((lines) => lines > 1).length;
  }
}

const ELEMENTS = new Set(
  "div p span a b i li ul ol td tr th table html head body h1 h2 h3 br hr img code pre em strong string t int".split(
    " ",
  ),
);
