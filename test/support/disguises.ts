/** Private values, all invented, with sentences around them; and the ways in which people and programs disguise them. */
import { gzipSync } from "node:zlib";

export interface PrivateValue {
  readonly kind: string;
  readonly value: string;
  /** Sentences with `{}` where the value goes. */
  readonly en: string;
  readonly zh: string;
}

const row = (kind: string, value: string, en: string, zh: string): PrivateValue => ({ kind, value, en, zh });

export const PRIVATE_VALUES: readonly PrivateValue[] = [
  row("resident id", "440308199901101512", "The identity card says {}.", "身份证号{}，请核对"),
  row("resident id with X", "11010519491231002X", "Her ID is {}, check it", "证件号码是{}。"),
  row("mobile", "13800138000", "Call {} after six", "请打{}找我"),
  row("mobile in groups", "139 1234 5678", "Text me at {} please", "手机：{}，谢谢"),
  row("mobile abroad", "+8615012345678", "Dial {} from Spain", "拨打{}即可"),
  row("bank card", "6222021234567890128", "The bank card is {}.", "银行卡号{}，开户行不变"),
  row("visa", "4111111111111111", "Charge {} for the room", "请从{}扣款"),
  row("visa in groups", "4012 8888 8888 1881", "Card {} was declined", "信用卡{}被拒"),
  row("amex", "378282246310005", "Amex {} expires soon", "信用卡{}快到期了"),
  row("iban", "DE89370400440532013000", "Send it to {} today", "请汇到{}账户"),
  row("iban in groups", "GB29 NWBK 6016 1331 9268 19", "Transfer to {}, thanks", "转到{}，谢谢"),
  row("french iban", "FR1420041010050500013M02606", "My account: {}", "我的账户：{}"),
  row("ssn", "219-09-9998", "Social security number {}", "社会安全号{}"),
  row("sin", "130-692-544", "Social insurance number {}", "加拿大社保号（SIN）{}"),
  row("nino", "AB123456C", "National insurance {} on file", "英国保险号 {} 已登记"),
  row("nhs", "943 476 5919", "NHS number {}", "NHS 号码 {}"),
  row("dni", "12345678Z", "Spanish DNI {} attached", "西班牙证件 {} 附后"),
  row("nie", "X1234567L", "The NIE is {}", "外国人号码 {} 附后"),
  row("pesel", "44051401359", "PESEL {}", "波兰号码 {}"),
  row("aadhaar", "2345 6789 0124", "Aadhaar {} linked", "印度号码 {} 已关联"),
  row("british phone", "+44 20 7946 0958", "Ring {} at noon", "电话{}"),
  row("american phone", "(202) 456-1111", "Phone {} now", "致电 {} 即可"),
  row("german phone", "0049 30 901820", "Office phone {}", "办公室电话 {}"),
  row("e-mail", "li.na@firma.cn", "Write to {} about it", "请发到 {} 谢谢"),
  row("e-mail with plus", "john.smith+work@mail.example.com", "Reach {} today", "邮箱是 {} 。"),
  row("long e-mail", "maria_lopez88@correo.empresa.com", "Forward it to {}", "转发给 {} 即可"),
  row("address", "85.214.132.117", "Logins came from {} only", "登录地址 {} 异常"),
  row("passport", "E12345678", "Passport number {}", "护照号{}"),
  row("permit", "C12345678", "Travel permit {}", "港澳通行证{}"),
  row("organisation", "91350100M000100Y43", "Registered as {} there", "信用代码：{}"),
  row("employee id", "A10234", "Employee ID {}", "工号：{}"),
  row("birth", "1990-03-07", "Date of birth {}", "出生日期：{}"),
  row("pay", "$84,500", "Her salary is {}", "她的年薪是{}"),
  row("token", "ghp_a8F3kd92LmQ0zX7vB1nR5tY6uW4sE3pJ9c", "Use {} to push", "令牌 {} 用来推送"),
  row("password", "Tr0ub4dor-3x", "The password is {}", "密码是{}"),
];

export interface Disguise {
  readonly name: string;
  apply(value: string): string;
}

const between = (mark: string) => (value: string) => [...value].join(mark);
const digits = (map: (digit: string) => string) => (value: string) => value.replace(/\d/g, map);
const each = (map: (character: string) => string) => (value: string) => [...value].map(map).join("");
const code = (character: string): number => character.codePointAt(0) as number;
const hex = (character: string, width: number): string => code(character).toString(16).padStart(width, "0");
const among = (from: string, to: string) =>
  each((character) =>
    from.includes(character) ? ([...to][[...from].indexOf(character)] as string) : character,
  );
const betweenDigits = (mark: string) => (value: string) => value.replace(/(?<=\d)[ .-]?(?=\d)/g, mark);
const bytes = (value: string): string => Buffer.from(value).toString("hex");

export const DISGUISES: readonly Disguise[] = [
  { name: "zero-width spaces", apply: between("\u200b") },
  { name: "word joiners", apply: between("\u2060") },
  { name: "soft hyphens", apply: between("\u00ad") },
  { name: "bidi marks", apply: (value) => `\u202e${[...value].join("\u200f")}\u202c` },
  { name: "variation selectors", apply: between("\ufe0f") },
  { name: "tag characters", apply: between("\u{e0041}") },
  { name: "combining marks", apply: between("\u0336") },
  {
    name: "full width",
    apply: each((c) => (code(c) > 32 && code(c) < 127 ? String.fromCharCode(code(c) + 0xfee0) : c)),
  },
  { name: "mathematical digits", apply: digits((d) => String.fromCodePoint(0x1d7ce + Number(d))) },
  { name: "Arabic digits", apply: digits((d) => String.fromCodePoint(0x660 + Number(d))) },
  { name: "Cyrillic letters", apply: among("aeopcxyABEKMHOPCTX", "аеорсхуАВЕКМНОРСТХ") },
  { name: "Greek letters", apply: among("oABEZHIKMNOPTYX", "οΑΒΕΖΗΙΚΜΝΟΡΤΥΧ") },
  { name: "Chinese numerals", apply: digits((d) => "零一二三四五六七八九"[Number(d)] as string) },
  { name: "capital Chinese numerals", apply: digits((d) => "〇壹贰叁肆伍陆柒捌玖"[Number(d)] as string) },
  { name: "letters for digits", apply: digits((d) => (d === "0" ? "O" : d === "1" ? "l" : d)) },
  { name: "blanks between digits", apply: betweenDigits(" ") },
  { name: "hyphens between digits", apply: betweenDigits("-") },
  { name: "dots between digits", apply: betweenDigits(".") },
  {
    name: "at and dot in words",
    apply: (value) => value.replace("@", " at ").replaceAll(".", value.includes("@") ? " dot " : "."),
  },
  {
    name: "at and dot in brackets",
    apply: (value) => value.replace("@", "[at]").replaceAll(".", value.includes("@") ? "[dot]" : "."),
  },
  {
    name: "at and dot in Chinese",
    apply: (value) => value.replace("@", "艾特").replaceAll(".", value.includes("@") ? "点" : "."),
  },
  {
    name: "percent codes",
    apply: (value) => [...Buffer.from(value)].map((b) => `%${b.toString(16).padStart(2, "0")}`).join(""),
  },
  {
    name: "unicode escapes",
    apply: each((c) => (code(c) > 0xffff ? `\\u{${hex(c, 1)}}` : `\\u${hex(c, 4)}`)),
  },
  {
    name: "byte escapes",
    apply: (value) => [...Buffer.from(value)].map((b) => `\\x${b.toString(16).padStart(2, "0")}`).join(""),
  },
  { name: "decimal entities", apply: each((c) => `&#${code(c)};`) },
  { name: "hex entities", apply: each((c) => `&#x${hex(c, 1)};`) },
  { name: "base64", apply: (value) => Buffer.from(value).toString("base64") },
  { name: "base64 of the web", apply: (value) => Buffer.from(value).toString("base64url") },
  { name: "hex", apply: bytes },
  { name: "hex in pairs", apply: (value) => (bytes(value).match(/../g) ?? []).join(" ") },
  { name: "gzip in base64", apply: (value) => gzipSync(value).toString("base64") },
  {
    name: "quoted-printable",
    apply: (value) =>
      [...Buffer.from(value)].map((b) => `=${b.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  },
];

/** Where a disguised text may stand in a request. */
export const CARRIERS: Readonly<Record<string, (text: string, value: string) => unknown>> = {
  "a message": (text) => ({ messages: [{ role: "user", content: text }] }),
  "tool arguments": (text) => ({
    messages: [
      {
        role: "assistant",
        content: null,
        tool_calls: [
          {
            id: "1",
            type: "function",
            function: { name: "f", arguments: JSON.stringify({ a: { b: JSON.stringify({ c: [text] }) } }) },
          },
        ],
      },
    ],
  }),
  "two messages": (text, value) => {
    const at = text.indexOf(value) + Math.floor(value.length / 2);
    // Half a character outside the basic plane is no text.
    const cut = /[\ud800-\udbff]/.test(text[at - 1] ?? "") ? at + 1 : at;
    return {
      messages: [
        { role: "user", content: text.slice(0, cut) },
        { role: "user", content: text.slice(cut) },
      ],
    };
  },
};
