/** Addresses on the internet, which lead to a person or a site; and those of a private network. */
import type { Recogniser, Span } from "./recogniser.ts";

/** Say nothing about anybody: this host, masks, and public name servers that every tutorial names. */
const COMMON = /^(?:0\.|127\.|255\.|224\.|8\.8\.[48]\.[48]$|1\.[01]\.[01]\.1$|9\.9\.9\.9$)|\.0$|^1\.2\.3\.4$/;
const PRIVATE =
  /^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|169\.254\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/;

/** A sign of one of the newer addresses. */
const SIX = /[0-9A-Fa-f]::[0-9A-Fa-f]|::[0-9A-Fa-f]{1,4}:|(?::[0-9A-Fa-f]{1,4}){7}/;

export const ip: Recogniser = {
  rule: "contact.ip",
  class: "personal",
  *find({ text, numbers }) {
    if (!numbers.any) return;
    for (const { address, ...span } of fours(text)) {
      if (!COMMON.test(address) && !PRIVATE.test(address)) yield span;
    }
    if (!text.includes(":") || !SIX.test(text)) return;
    for (const match of text.matchAll(/(?<![\w:.])[0-9A-Fa-f:]{8,39}(?![\w:])/g)) {
      if (isSix(match[0])) yield { start: match.index, end: match.index + match[0].length };
    }
  },
  examples: {
    hits: [
      "login from 203.0.113.77",
      "85.214.132.117:8080",
      "2001:db8:85a3::8a2e:370:7334",
      "ip=93.184.216.34;",
    ],
    misses: [
      "127.0.0.1",
      "10.1.2.3",
      "8.8.8.8",
      "version 1.2.3.4.5",
      "v4.17.21.3",
      "300.1.1.1",
      "12:34:56",
      "std::vector",
      "255.255.255.0",
    ],
  },
};

export const privateIp: Recogniser = {
  rule: "contact.ip-private",
  class: "internal",
  *find({ text, numbers }) {
    if (!numbers.any) return;
    for (const { address, ...span } of fours(text)) if (PRIVATE.test(address)) yield span;
  },
  examples: { hits: ["ssh 10.20.30.40", "192.168.1.17"], misses: ["127.0.0.1", "203.0.113.77", "10.20.30"] },
};

function* fours(text: string): Generator<Span & { readonly address: string }> {
  for (const match of text.matchAll(/(?<![\w.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w]|\.\d)/g)) {
    const address = match[0];
    if (address.split(".").every((part) => Number(part) <= 255 && String(Number(part)) === part)) {
      yield { start: match.index, end: match.index + address.length, address };
    }
  }
}

function isSix(address: string): boolean {
  const halves = address.split("::");
  if (halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  if (!groups.every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group))) return false;
  return halves.length === 2 ? groups.length >= 3 && groups.length < 8 : groups.length === 8;
}
