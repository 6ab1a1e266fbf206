/** Licence plates: Chinese ones by their shape, others where somebody says that it is one. */
import type { Recogniser } from "./recogniser.ts";
import { matchesNear } from "./tokens.ts";
import { phrases } from "./word-list.ts";

const PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领";
const CHINESE =
  /^.[ ]?[A-HJ-NP-Za-hj-np-z][ ·.-]?[A-HJ-NP-Za-hj-np-z0-9]{4,5}[A-HJ-NP-Za-hj-np-z0-9挂学警港澳]/;

const PLATE_MAX = 12;

export const plate: Recogniser = {
  rule: "id.plate",
  class: "personal",
  words: {
    "plate-province": [...PROVINCES],
    plate: phrases(`
      车牌, 车牌号, 牌照, 号牌, license plate, licence plate, number plate, plate number, plate no, vehicle
      registration, registration plate`),
  },
  *find({ text, words }) {
    for (const { start } of words.of("plate-province")) {
      const plate = CHINESE.exec(text.slice(start, start + PLATE_MAX))?.[0] ?? "";
      const end = start + plate.length;
      if (/\d[^\d]{0,4}\d/.test(plate) && !/[A-Za-z0-9]/.test(text[end] ?? "")) yield { start, end };
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
