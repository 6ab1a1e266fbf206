/** E-mail addresses: those of people, and those of an office or a machine. */
import type { Recogniser, Span } from "./recogniser.ts";

const ROLES = new Set(
  (
    "admin administrator abuse billing careers contact customerservice enquiries feedback hello help helpdesk hostmaster " +
    "info inquiries jobs legal mail marketing media newsletter no-reply noreply donotreply office orders postmaster press " +
    "privacy reception root sales security service services support team webmaster welcome"
  ).split(" "),
);
/** Names before an @ that are no mailbox: how programs name themselves to a server. */
const PROGRAMS = new Set(["git", "hg", "svn"]);
const LOCAL_MAX = 64;
const DOMAIN_MAX = 253;

export const email: Recogniser = {
  rule: "contact.email",
  class: "personal",
  *find({ text }) {
    for (const { local, ...span } of addresses(text)) if (!ROLES.has(local)) yield span;
  },
  examples: {
    hits: [
      "write to li.na@firma.cn",
      "<J_Doe+x@mail.example.co.uk>",
      "mailto:a@b.de.",
      "邮箱zhang.wei@qq.com，谢谢",
      "o'neil@x-y.org",
    ],
    misses: ["info@firma.cn", "@app.route", "a@b", "git@github.com:a/b.git", "pkg@1.2.3", "x @ y.z", "@@@@"],
  },
};

export const roleEmail: Recogniser = {
  rule: "contact.email-role",
  class: "internal",
  *find({ text }) {
    for (const { local, ...span } of addresses(text)) if (ROLES.has(local)) yield span;
  },
  examples: {
    hits: ["support@firma.cn", "No-Reply@firma.com"],
    misses: ["li.na@firma.cn", "support at the office"],
  },
};

const isLocal = (unit: number): boolean => isWord(unit) || unit === 0x2b || unit === 0x27 || unit === 0x25;
const isWord = (unit: number): boolean => isDomain(unit) || unit === 0x5f;
const isDomain = (unit: number): boolean =>
  (unit >= 0x30 && unit <= 0x39) ||
  ((unit | 0x20) >= 0x61 && (unit | 0x20) <= 0x7a) ||
  unit === 0x2d ||
  unit === 0x2e;

/** What stands around each @, as far as it can belong to an address. */
function* addresses(text: string): Generator<Span & { readonly local: string }> {
  for (let at = text.indexOf("@"); at !== -1; at = text.indexOf("@", at + 1)) {
    let start = at;
    while (start > 0 && at - start < LOCAL_MAX && isLocal(text.charCodeAt(start - 1))) start -= 1;
    while (start < at && /[.'-]/.test(text[start] as string)) start += 1;
    let end = at + 1;
    while (end < text.length && end - at <= DOMAIN_MAX && isDomain(text.charCodeAt(end))) end += 1;
    while (end > at && /[.-]/.test(text[end - 1] as string)) end -= 1;
    if (start === at || end <= at + 1) continue;
    const domain = text.slice(at + 1, end);
    const last = domain.slice(domain.lastIndexOf(".") + 1);
    if (
      !domain.includes(".") ||
      domain.includes("..") ||
      !/^(?:[A-Za-z]{2,24}|xn--[a-z0-9-]{2,24})$/i.test(last)
    )
      continue;
    const local = text.slice(start, at).toLowerCase();
    if (!PROGRAMS.has(local)) yield { start, end, local };
  }
}
