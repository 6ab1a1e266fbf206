/** Licence plates: Chinese ones by their shape, others where somebody says that it is one. */
import type { Recogniser } from "./recogniser.ts";
import { matchesNear } from "./tokens.ts";
import { phrases } from "./word-list.ts";

const CHINESE =
  /[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领][ ]?[A-HJ-NP-Za-hj-np-z][ ·.-]?[A-HJ-NP-Za-hj-np-z0-9]{4,5}[A-HJ-NP-Za-hj-np-z0-9挂学警港澳]/g;

export const plate: Recogniser = {
  rule: "id.plate",
  class: "personal",
  words: {
    plate: phrases(`
      车牌, 车牌号, 牌照, 号牌, license plate, licence plate, number plate, plate number, plate no, vehicle
      registration, registration plate`),
  },
  *find({ text, words }) {
    for (const match of text.matchAll(CHINESE)) {
      const end = match.index + match[0].length;
      if (/\d[^\d]{0,4}\d/.test(match[0]) && !/[A-Za-z0-9]/.test(text[end] ?? ""))
        yield { start: match.index, end };
    }
    for (const span of matchesNear(
      text,
      words.of("plate"),
      { before: 32, after: 16 },
      /(?<![A-Za-z0-9])[A-Z0-9]{1,4}[ ·-]?[A-Z0-9]{1,4}(?:[ ·-]?[A-Z0-9]{1,4})?(?![A-Za-z0-9])/g,
    )) {
      const plain = span.value.replace(/[ ·-]/g, "");
      if (!/[A-Z]/.test(plain) || !/\d{2}/.test(plain) || plain.length < 4) continue;
      if (words.near("plate", span, 32, 16)) yield span;
    }
  },
  examples: {
    hits: ["京A12345", "车牌粤B·D12345", "沪AD12345", "license plate 7ABC123", "number plate AB12 CDE"],
    misses: ["京AABCDE", "ISO 9001", "license plate holders", "AB12 CDE"],
  },
};
