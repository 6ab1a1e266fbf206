/** International bank account numbers: country, its length, remainder 1 by 97. */
import { remainder } from "./checks.ts";
import type { Recogniser } from "./recogniser.ts";
import { isFree, lettersAhead, nextAlnum, tokenAt } from "./tokens.ts";

const COUNTRIES =
  "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 " +
  "FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 " +
  "LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 " +
  "RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20";

/** Of an ASCII letter of either case. */
const letterIndex = (text: string, at: number): number => (text.charCodeAt(at) | 0x20) - 0x61;
/** By the country's two letters; 0 where there is no such country. */
const LENGTHS = new Uint8Array(26 * 26);
for (const entry of COUNTRIES.split(" ")) {
  LENGTHS[26 * letterIndex(entry, 0) + letterIndex(entry, 1)] = Number(entry.slice(2));
}

export const iban: Recogniser = {
  rule: "id.iban",
  class: "personal",
  *find({ text, numbers }) {
    for (const digits of numbers.starts) {
      const start = lettersAhead(text, digits, 2);
      if (start === -1) continue;
      const second = nextAlnum(text, start + 1);
      const length = LENGTHS[26 * letterIndex(text, start) + letterIndex(text, second)] as number;
      if (length === 0) continue;
      const token = tokenAt(text, start, length);
      if (token.value.length !== length || !isFree(text, token)) continue;
      if (remainder(`${token.value.slice(4)}${token.value.slice(0, 4)}`, 97) === 1) yield token;
    }
  },
  examples: {
    hits: [
      "DE89370400440532013000",
      "GB29 NWBK 6016 1331 9268 19",
      "iban: fr1420041010050500013m02606.",
      "NL91-ABNA-0417-1643-00",
    ],
    misses: ["DE89370400440532013001", "GB29 NWBK 6016 1331 9268", "XX89370400440532013000", "de12"],
  },
};
