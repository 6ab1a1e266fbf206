/** Keys, tokens and passwords: by the prefix that their issuer gives them, or by what they are called; and not made up. */
import { entropy } from "../entropy.ts";
import type { Recogniser, Span } from "./recogniser.ts";
import { isAlnumAt } from "./tokens.ts";
import { phrases } from "./word-list.ts";

/** What issuers put in front, and how much follows at the least. */
const PREFIXES: readonly (readonly [string, number])[] = [
  ["sk-", 20],
  ["sk_live_", 16],
  ["sk_test_", 16],
  ["rk_live_", 16],
  ["ghp_", 30],
  ["gho_", 30],
  ["ghu_", 30],
  ["ghs_", 30],
  ["ghr_", 30],
  ["github_pat_", 40],
  ["glpat-", 18],
  ["xoxb-", 20],
  ["xoxp-", 20],
  ["xoxa-", 20],
  ["xapp-", 20],
  ["AKIA", 16],
  ["ASIA", 16],
  ["LTAI", 12],
  ["AKID", 28],
  ["AIza", 30],
  ["ya29.", 30],
  ["hf_", 28],
  ["npm_", 30],
  ["pypi-", 40],
  ["dop_v1_", 40],
  ["SG.", 40],
  ["eyJ", 40],
  ["whsec_", 24],
  ["shpat_", 28],
  ["gsk_", 30],
  ["r8_", 30],
  ["AGE-SECRET-KEY-", 40],
];
const LEAST = new Map(PREFIXES);
const BEGINNING = new RegExp(`(?:${PREFIXES.map(([prefix]) => prefix.replace(".", "\\.")).join("|")})`, "g");
const IS_TOKEN = new Uint8Array(128);
for (let unit = 0; unit < 128; unit += 1) {
  if (/[A-Za-z0-9_./+=-]/.test(String.fromCharCode(unit))) IS_TOKEN[unit] = 1;
}
const TOKEN_MAX = 400;
/** Bits a character, below which it is a word or a row of x. */
const ENTROPY_MIN = 3;

export const secret: Recogniser = {
  rule: "secret.token",
  class: "restricted",
  *find({ text }) {
    // Both only ever move on, so that a row of prefixes is read once and not once for each of them.
    let runEnd = 0;
    let digit = 0;
    for (const match of text.matchAll(BEGINNING)) {
      const start = match.index;
      if (isAlnumAt(text, start - 1)) continue;
      runEnd = Math.max(runEnd, start);
      while (IS_TOKEN[text.charCodeAt(runEnd)] === 1) runEnd += 1;
      const end = Math.min(runEnd, start + TOKEN_MAX);
      const rest = start + match[0].length;
      if (end - rest < (LEAST.get(match[0]) ?? 0)) continue;
      digit = Math.max(digit, rest);
      while (digit < end && !isDigit(text.charCodeAt(digit))) digit += 1;
      if (digit < end && entropy(text.slice(rest, end)) >= ENTROPY_MIN) yield { start, end };
    }
    if (!text.includes("PRIVATE KEY")) return;
    for (const match of text.matchAll(/-----BEGIN [A-Z ]{0,30}PRIVATE KEY/g)) yield spanOf(match);
  },
  examples: {
    hits: [
      "key ghp_a8F3kd92LmQ0zX7vB1nR5tY6uW4sE3pJ9c",
      "AKIAQ3EXZ7VT2LMNOPQ4",
      "-----BEGIN RSA PRIVATE KEY-----",
      "sk-proj-9fK2mX7vQ1zB8nR4tY6u",
      "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0NzExIn0.Zk3vQ9xT1mB7nR4yL8wP2sD6fG0hJ5kA",
    ],
    misses: [
      "sk-xxxxxxxxxxxxxxxxxxxxxxxx",
      "ghp_your_token_here_please",
      "task-1234567890123456789012",
      "-----BEGIN CERTIFICATE-----",
    ],
  },
};

export const password: Recogniser = {
  rule: "secret.password",
  class: "restricted",
  words: {
    password: phrases(`
      密码, 口令, 密钥, 令牌, password, passwd, pwd, passphrase, secret, secret key, api key, apikey, access
      key, access token, auth token, client secret, private key, bearer, token, credentials, pin code`),
  },
  *find({ text, words }) {
    for (const { end } of words.of("password")) {
      const given = /^["'`]?\s{0,2}(?:[:=：]|is\b|是|为)\s{0,2}["'`]?([^\s"'`,;，。；)}\]]{6,200})/.exec(
        text.slice(end, end + 220),
      );
      const value = given?.[1];
      if (value !== undefined && isSecret(value)) yield { start: end, end: end + (given?.[0].length ?? 0) };
    }
    for (let at = text.indexOf("://"); at !== -1; at = text.indexOf("://", at + 3)) {
      const given = /^:\/\/[^\s:@/"']{1,64}:([^\s:@/"']{4,100})@/.exec(text.slice(at, at + 170));
      if (given !== null && isSecret(given[1] as string)) yield { start: at, end: at + given[0].length };
    }
  },
  examples: {
    hits: [
      "password: Tr0ub4dor&3x",
      'API_KEY="9f8a7c6b5d4e3f2a1b0c"',
      "密码是Wq8#kL2p",
      "postgres://weir:pa55w0rd!@db:5432/x",
      "the wifi password is Xk29-vLq8-pp01",
    ],
    misses: [
      "password: string",
      "password = os.environ['DB_PASSWORD1']",
      "token = tokens[index1]",
      "password: ********",
      "the secret is patience",
      "api_key=YOUR_API_KEY",
      "https://user:password@host/",
    ],
  },
};

/** Random enough: letters and digits, no call, no index, no placeholder. */
function isSecret(value: string): boolean {
  if (!/\d/.test(value) || !/[A-Za-z]/.test(value) || /[([{<$]/.test(value)) return false;
  if (/^[a-z_]{1,30}\d{1,2}$/i.test(value) || /your|example|placeholder|xxxx/i.test(value)) return false;
  return entropy(value) >= 2.5;
}

const isDigit = (unit: number): boolean => unit >= 0x30 && unit <= 0x39;

const spanOf = (match: RegExpExecArray): Span => ({ start: match.index, end: match.index + match[0].length });
