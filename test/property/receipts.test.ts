/** A chain of receipts shows every record that was removed, reordered, repeated, altered or put in. */
import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DATA_CLASSES } from "../../engine/core/data-class.ts";
import type { DecisionRecord } from "../../engine/core/decision-record.ts";
import { canonicalJson, FIRST_PREV, type Receipt, sealed } from "../../engine/receipts/record.ts";
import { ReceiptVerifier, type Verified } from "../../engine/receipts/verify.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const other = generateKeyPairSync("ed25519");

const decision: fc.Arbitrary<DecisionRecord> = fc.record({
  request: fc.uuid(),
  class: fc.constantFrom(...DATA_CLASSES),
  content: fc.constantFrom(...DATA_CLASSES),
  pinned: fc.option(fc.constantFrom(...DATA_CLASSES)),
  key: fc.option(fc.string({ maxLength: 12 })),
  agent: fc.option(fc.string({ maxLength: 12 })),
  wanted: fc.constantFrom<DecisionRecord["wanted"]>("auto", "unknown", { model: "small", backend: "local" }),
  zone: fc.constantFrom("onprem", "cloud"),
  action: fc.constantFrom("serve", "refuse"),
  backend: fc.option(fc.string({ minLength: 1, maxLength: 12 })),
  rules: fc.uniqueArray(fc.stringMatching(/^[a-z]{2,8}\.[a-z]{2,8}$/), { maxLength: 4 }),
  policy: fc.constant("ab".repeat(32)),
  topicModel: fc.constant(null),
  bytes: fc.nat(),
});
const chain = fc.array(decision, { minLength: 2, maxLength: 12 }).map((decisions) => {
  const records: Receipt[] = [];
  for (const [index, each] of decisions.entries()) {
    const prev = records.at(-1)?.hash ?? FIRST_PREV;
    const place = { v: 1, seq: index + 1, at: new Date(index).toISOString(), prev } as const;
    records.push(sealed({ ...place, kind: "decision", decision: each }, privateKey));
  }
  return records;
});

function verified(lines: readonly string[], records: readonly Receipt[], key = publicKey): Verified {
  const end = records.at(-1);
  const verifier = new ReceiptVerifier(key, end === undefined ? {} : { end });
  for (const line of lines) verifier.add(line);
  return verifier.finish();
}
const linesOf = (records: readonly Receipt[]): string[] => records.map((record) => JSON.stringify(record));

describe("a chain", () => {
  test("is whole as it was written, whatever the order of a record's fields", () => {
    fc.assert(
      fc.property(chain, (records) => {
        expect(verified(linesOf(records), records)).toEqual({
          records: records.length,
          first: { seq: 1, at: records[0]?.at, closesFile: false },
          last: { seq: records.length, at: records.at(-1)?.at, closesFile: false },
          fromStart: true,
          problems: [],
          problemCount: 0,
        });
        const turned = records.map((record) =>
          JSON.stringify(Object.fromEntries(Object.entries(record).reverse())),
        );
        expect(verified(turned, records).problems).toEqual([]);
      }),
    );
  });

  test("shows any record that was removed, the last ones too", () => {
    fc.assert(
      fc.property(chain, fc.nat(), fc.nat(), (records, at, count) => {
        const from = at % records.length;
        const lines = linesOf(records);
        // Whole files from the start may be elsewhere: that is said by `fromStart`, and is no fault.
        const removed = lines.toSpliced(from, 1 + (count % (records.length - from)));
        const { problems, fromStart } = verified(removed, records);
        expect(problems.length > 0 || !fromStart).toBe(true);
      }),
    );
  });

  test("shows records in another order, or twice", () => {
    fc.assert(
      fc.property(chain, fc.nat(), fc.nat(), (records, a, b) => {
        const [one, two] = [a % records.length, b % records.length];
        const lines = linesOf(records);
        if (one !== two) {
          const swapped = lines.with(one, lines[two] as string).with(two, lines[one] as string);
          expect(verified(swapped, records).problems).not.toEqual([]);
        }
        expect(verified(lines.toSpliced(one, 0, lines[one] as string), records).problems).not.toEqual([]);
      }),
    );
  });

  test("shows any character that was altered", () => {
    fc.assert(
      fc.property(chain, fc.nat(), fc.nat(), fc.nat(), (records, at, place, change) => {
        const lines = linesOf(records);
        const line = lines[at % lines.length] as string;
        const index = place % line.length;
        const altered = String.fromCharCode(32 + ((line.charCodeAt(index) - 32 + 1 + (change % 94)) % 95));
        const changed = line.slice(0, index) + altered + line.slice(index + 1);
        fc.pre(canonicalJson(parsedOr(changed)) !== canonicalJson(parsedOr(line)));
        expect(verified(lines.with(at % lines.length, changed), records).problems).not.toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test("shows a line that means the same to a reader of JSON, and something else to one of text", () => {
    fc.assert(
      fc.property(chain, fc.nat(), (records, at) => {
        const lines = linesOf(records);
        const index = at % lines.length;
        const line = lines[index] as string;
        for (const altered of [
          line.replace('"kind":', '"decision":{"class":"public"},"kind":'),
          line.replace(",", ", "),
          `${line} `,
          line.replace('"decision"', '"d\\u0065cision"'),
        ]) {
          expect(altered).not.toBe(line);
          expect(verified(lines.with(index, altered), records).problems).toHaveLength(1);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("is whole from any record on, where the one before it is known", () => {
    fc.assert(
      fc.property(chain, fc.nat(), (records, at) => {
        const from = 1 + (at % (records.length - 1));
        const verifier = new ReceiptVerifier(publicKey, {
          after: records[from - 1] as Receipt,
          end: records.at(-1) as Receipt,
        });
        for (const line of linesOf(records).slice(from)) verifier.add(line);
        expect(verifier.finish()).toMatchObject({ fromStart: true, problems: [] });
        const gap = new ReceiptVerifier(publicKey, { after: records[from - 1] as Receipt });
        for (const line of linesOf(records).slice(from + 1)) gap.add(line);
        expect(gap.finish().problems).toHaveLength(from + 1 < records.length ? 1 : 0);
      }),
    );
  });

  test("shows a record put in, though its hash is right, and a chain by another key", () => {
    fc.assert(
      fc.property(chain, decision, (records, each) => {
        const last = records.at(-1) as Receipt;
        const place = { v: 1, seq: last.seq + 1, at: last.at, prev: last.hash } as const;
        const forged = sealed({ ...place, kind: "decision", decision: each }, other.privateKey);
        const { problems } = verified([...linesOf(records), JSON.stringify(forged)], [...records, forged]);
        expect(problems).toMatchObject([{ seq: forged.seq, problem: expect.stringContaining("signature") }]);
        expect(verified(linesOf(records), records, other.publicKey).problems.length).toBe(records.length);
      }),
      { numRuns: 30 },
    );
  });
});

test("lines that are no receipts are named, and never thrown over", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.json()), { minLength: 1, maxLength: 8 }), (lines) => {
      const verifier = new ReceiptVerifier(publicKey);
      for (const line of lines) verifier.add(line);
      expect(verifier.finish().problems.length).toBe(lines.length);
    }),
  );
});

test("a receipt that a client holds must be among the records", () => {
  fc.assert(
    fc.property(chain, (records) => {
      const held = `${records[0]?.seq}-${records[0]?.hash.slice(0, 16)}`;
      const verifier = new ReceiptVerifier(publicKey, { ids: [held, "7-0123456789abcdef"] });
      for (const line of linesOf(records)) verifier.add(line);
      expect(verifier.finish().problems).toMatchObject([
        { problem: expect.stringContaining("7-0123456789abcdef") },
      ]);
    }),
    { numRuns: 20 },
  );
});

function parsedOr(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return line;
  }
}
