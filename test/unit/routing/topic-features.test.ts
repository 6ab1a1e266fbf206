/** The features of the topic model: the same bytes on every machine, in training and serving. */
import { describe, expect, test } from "vitest";
import {
  BUCKETS_LOG2,
  foldText,
  GROUPS,
  SegmentFeatures,
  segmentEnd,
} from "../../../engine/routing/topic-features.ts";

function bucketsOf(raw: string): readonly (readonly number[])[] {
  const features = new SegmentFeatures();
  const out: number[][] = GROUPS.map(() => []);
  const text = foldText(raw);
  for (let from = 0; from < text.length; ) {
    const to = segmentEnd(text, from);
    features.read(text, from, to);
    for (const [group, buckets] of features.buckets.entries())
      out[group]?.push(...buckets.subarray(0, features.counts[group]));
    from = to;
  }
  return out;
}

function segmentsOf(text: string): readonly string[] {
  const out: string[] = [];
  for (let from = 0; from < text.length; ) {
    const to = segmentEnd(text, from);
    out.push(text.slice(from, to));
    from = to;
  }
  return out;
}

describe("golden buckets", () => {
  // Whoever changes one of these has to train the model again: the file refuses other features.
  test.each<[string, readonly (readonly number[])[]]>([
    [
      "pay day",
      [
        [16876, 21040, 241804],
        [126528, 53292, 141113, 46641, 65112, 192084, 137417, 223566, 237728, 119383, 192456, 192084],
        [],
        [126971],
      ],
    ],
    [
      "dear Ana Roe",
      [
        [250558, 64922, 256450, 58720, 220071, 244901, 18027, 152868],
        [
          168106, 96858, 45330, 62170, 197340, 9575, 5863, 236487, 219691, 228605, 236780, 80919, 159633,
          227171, 17035, 21486, 216748, 141051, 130197, 9547, 247460,
        ],
        [],
        [126971],
      ],
    ],
    ["年假", [[], [], [112666, 117929, 86053], []]],
    [
      "[09:05] <ana> ok",
      [
        [87149, 142395, 80468, 142395, 19005, 113075, 17496, 64922, 65310, 161032, 141265, 134272],
        [
          113306, 241782, 153851, 113306, 241782, 153851, 228605, 236780, 80919, 159633, 227171, 17035,
          186600, 11226, 31277,
        ],
        [],
        [237185, 20921, 197241, 250023],
      ],
    ],
  ])("of %s", (text, buckets) => {
    expect(bucketsOf(text)).toEqual(buckets);
  });
});

describe("features", () => {
  test("count words and their pairs, pieces, characters in a row and line heads apart", () => {
    const [word, piece, character, line] = bucketsOf("my pay\n年假");
    expect(word).toHaveLength(3);
    expect(piece).toHaveLength(2 + 1 + 3 + 2 + 1);
    expect(character).toHaveLength(1 + 2);
    expect(line).toHaveLength(1);
  });

  test("do not see full width, apostrophes, invisible characters, which digits or words in capitals", () => {
    const plain = bucketsOf("Don't pay 1250 today");
    for (const same of [
      "Don’t PAY 9876 today",
      "Ｄｏｎ＇ｔ ｐａｙ 1250 today",
      "Do\u200Bn't pay 12\u00AD50 TODAY",
    ])
      expect(bucketsOf(same)).toEqual(plain);
  });

  test("see that a word is written like a name, whatever the name, beside its words", () => {
    const words = (text: string): readonly number[] => bucketsOf(text)[0] ?? [];
    const added = (text: string): readonly number[] => {
      const known = new Set(words(text.toLowerCase()));
      return words(text).filter((bucket) => !known.has(bucket));
    };
    expect(added("ask Ana again")).toHaveLength(3);
    expect(added("ask Zoltan again")).toEqual(added("ask Ana again"));
    expect(added("tell Ana again")).not.toEqual(added("ask Ana again"));
    expect(added("ask Ana Roe again")).not.toEqual(added("ask Ana again"));
    expect(added("ask ANA again")).toEqual([]);
  });

  test("see the order of words, the length of a number and a line's shape", () => {
    expect(bucketsOf("pay my wages")).not.toEqual(bucketsOf("my pay wages"));
    expect(bucketsOf("12")).not.toEqual(bucketsOf("123"));
    expect(bucketsOf("ana: hi")[3]).not.toEqual(bucketsOf("ana, hi")[3]);
  });

  test("lie within the buckets and within their room, whatever the text", () => {
    const texts = [
      "x ".repeat(500),
      "A.".repeat(500),
      "A b ".repeat(300),
      "漢".repeat(900),
      ":>]\n".repeat(300),
      "😀".repeat(400),
      "a".repeat(5000),
    ];
    for (const text of texts) {
      const features = new SegmentFeatures();
      for (let from = 0; from < text.length; ) {
        const to = segmentEnd(text, from);
        features.read(text, from, to);
        for (const [group, buckets] of features.buckets.entries()) {
          const count = features.counts[group] as number;
          expect(count).toBeLessThanOrEqual(buckets.length);
          expect(
            buckets.subarray(0, count).every((bucket) => bucket >= 0 && bucket < 1 << BUCKETS_LOG2),
          ).toBe(true);
        }
        from = to;
      }
    }
  });
});

describe("segments", () => {
  test("are whole and in order", () => {
    const text =
      "One sentence of some length that goes on and on and on until it ends. Two!\nThree: 四。 five";
    expect(segmentsOf(text).join("")).toBe(text);
  });

  test("end at the end of a sentence, not within a short one", () => {
    expect(segmentsOf(`Hi. ${"word ".repeat(14)}end. Next one.`)).toEqual([
      `Hi. ${"word ".repeat(14)}end.`,
      " Next one.",
    ]);
  });

  test("are bounded where no sentence ends, at a space if there is one", () => {
    for (const text of ["漢".repeat(2000), "a".repeat(2000), "word ".repeat(400)])
      for (const segment of segmentsOf(text)) expect(segment.length).toBeLessThanOrEqual(400);
    expect(segmentsOf("word ".repeat(400))[0]).toMatch(/ $/);
  });
});
