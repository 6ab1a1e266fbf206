/** Passports and permits to travel: their shapes are common, so the word for them must stand near. */
import type { Recogniser } from "./recogniser.ts";
import { matchesNear } from "./tokens.ts";
import { phrases } from "./word-list.ts";

export const travel: Recogniser = {
  rule: "id.travel-document",
  class: "personal",
  words: {
    travel: phrases(`
      护照, 通行证, 港澳通行证, 台胞证, 回乡证, 居住证, 旅行证, 签证号, passport, passport number, passport no, travel document,
      travel permit, residence permit, visa number, exit entry permit, driving licence, driving license,
      driver license, drivers license, driver s license, green card number`),
  },
  *find({ text, words }) {
    for (const span of matchesNear(
      text,
      words.of("travel"),
      { before: 40, after: 24 },
      /(?<![A-Za-z0-9])(?:[A-Za-z]{1,3}[ -]?)?\d{6,14}[A-Za-z]{0,2}(?![A-Za-z0-9])|(?<![A-Za-z0-9])[A-Za-z]?\d{3,4}[ -]\d{2,4}[ -]\d{3,5}|(?<![A-Za-z0-9])[CFGHJKLMNPRTVWXYZ0-9]{9}(?![A-Za-z0-9])/g,
    )) {
      if (!/\d{2}/.test(span.value)) continue;
      if (words.near("travel", span, 40, 24)) yield span;
    }
  },
  examples: {
    hits: [
      "护照号E12345678",
      "passport number: G12345678",
      "Passport 533380006",
      "港澳通行证 C12345678",
      "台胞证号码 12345678",
      "my passport no is C01X00T47",
      "driver's license F162823540116",
    ],
    misses: ["E12345678", "passport photo 35 x 45 mm", "I need a passport in 2024"],
  },
};
