/** Texts that make bad expressions slow: pieces of what recognisers look for, repeated, with an end that spoils the match. */
import { uniform } from "../../engine/core/random.ts";
import { classify } from "../../engine/routing/classify.ts";

const PIECES = [
  ..."aA1 09-_.:/\\@%&#=+,;!|*<>()[]{}\"'~一三零壹。：，\n\t",
  ..."\u200b\u0336\ufe0f\u{e0041}Ⅷé",
  ...[
    "%31",
    "%e4%bd",
    "&#49;",
    "&#x31;",
    "&amp;",
    "\\u0031",
    "\\x31",
    "\\\\",
    "=31",
    "31 ",
    "0x31 ",
    "MTM4",
    "H4sI",
    "==",
  ],
  ...[
    "13800138000",
    "138 ",
    "4111 ",
    "1-",
    "1.1.",
    "::",
    "2001:",
    "DE89",
    "GB29 NWBK ",
    "12345678Z",
    "AB12",
    "X1",
    "9135",
  ],
  ...[
    "salary ",
    "passport ",
    "my phone ",
    "born ",
    "password: ",
    "employee id ",
    "$84,000 ",
    "工资",
    "护照",
    "身份证",
    "京A",
  ],
  ...[
    "10:31 Bob: ",
    "[10:31] <",
    "2024-05-06 ",
    "From: a\n",
    "Subject: ",
    "On Mon, ",
    " wrote:",
    "Bob: hi\n",
    '"sender": "',
    "<bob> ",
  ],
  ...[
    "a@b.",
    "a at b dot ",
    "艾特",
    "点com",
    "one two ",
    "s4l4ry ",
    "l0l",
    "s-a-l-",
    "sk-",
    "ghp_",
    "eyJ",
    "-----BEGIN ",
    "a://b:c",
    "+44 ",
  ],
];

export function slowText(seed: number, length: number): string {
  let draw = 0;
  const next = (below: number): number => {
    draw += 1;
    return Math.floor(uniform(seed, draw) * below);
  };
  const piece = (): string => PIECES[next(PIECES.length)] as string;
  const unit = Array.from({ length: 1 + next(4) }, piece).join("");
  const text =
    Array.from({ length: 1 + next(3) }, piece).join("") + unit.repeat(Math.ceil(length / unit.length));
  return text.slice(0, length) + piece();
}

const topics = { votes: () => [{ topic: "public" as const, score: 1, where: "" }] };

/**
 * Milliseconds of processor time that the classification takes: the least of as many tries, and no more tries once it is
 * `enough`. Not time on the wall, because the machine has other work too; the system counts it in steps of up to 4 ms.
 */
export function leastTime(text: string, tries: number, enough: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < tries && least > enough; attempt += 1) {
    least = Math.min(least, usualTime(text, 1));
  }
  return least;
}

/** The mean of as many turns: for times that are shorter than the system's steps. */
export function usualTime(text: string, turns: number): number {
  const start = process.threadCpuUsage();
  for (let turn = 0; turn < turns; turn += 1) classify({ prompt: text }, { topics });
  const { user, system } = process.threadCpuUsage(start);
  return (user + system) / 1000 / turns;
}
