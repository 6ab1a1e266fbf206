/** GGUF files damaged at random: opened or refused, in time, and never with another error. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { openGguf } from "../../models/formats/gguf.ts";
import { openModelSource } from "../../models/open.ts";
import { ModelFileError } from "../../models/source.ts";
import { array, entry, f32, ggufBytes, TYPE, tensor, text, u8, u32 } from "../support/gguf-bytes.ts";
import { modelFolder } from "../support/gguf-folder.ts";

const folder = modelFolder();
const TOKENS = ["<unk>", "<s>", "</s>", "a", "b", "ab", "▁"];

/** A small whole model file, with a tokenizer, so that damage finds every reader. */
const WHOLE = ggufBytes({
  metadata: [
    entry("general.architecture", TYPE.text, text("llama")),
    entry("general.license", TYPE.text, text("mit")),
    entry("tokenizer.ggml.model", TYPE.text, text("llama")),
    entry("tokenizer.ggml.tokens", TYPE.array, array(TYPE.text, TOKENS.length, ...TOKENS.map(text))),
    entry(
      "tokenizer.ggml.scores",
      TYPE.array,
      array(TYPE.f32, TOKENS.length, ...TOKENS.map((_, id) => f32(-id))),
    ),
    entry(
      "tokenizer.ggml.token_type",
      TYPE.array,
      array(TYPE.i32, TOKENS.length, ...TOKENS.map((_, id) => u32(id < 3 ? 3 : 1))),
    ),
    entry("tokenizer.ggml.add_bos_token", TYPE.bool, u8(1)),
    entry("nested", TYPE.array, array(TYPE.array, 1, array(TYPE.text, 1, text("x")))),
  ],
  tensors: [tensor(), tensor({ name: "u.weight", dimensions: [32, 1], type: 8, offset: 32 })],
  data: new Uint8Array(96),
});

/** Bytes in which lies are likely: signs, bounds, and small numbers that change a type or a length. */
const byte = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 7, 8, 9, 127, 128, 255));

type Damage =
  | { readonly kind: "byte"; readonly at: number; readonly value: number }
  | { readonly kind: "word"; readonly at: number; readonly value: bigint }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "remove"; readonly at: number; readonly count: number }
  | { readonly kind: "insert"; readonly at: number; readonly bytes: Uint8Array };

const at = fc.nat(WHOLE.length - 1);
const word = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 2n ** 31n, 2n ** 53n, 2n ** 63n),
);
const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({ kind: fc.constant("byte" as const), at, value: byte }),
  fc.record({ kind: fc.constant("word" as const), at, value: word }),
  fc.record({ kind: fc.constant("cut" as const), at }),
  fc.record({ kind: fc.constant("remove" as const), at, count: fc.integer({ min: 1, max: 40 }) }),
  fc.record({
    kind: fc.constant("insert" as const),
    at,
    bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  }),
);

function damaged(bytes: Buffer, { at: place, ...how }: Damage): Buffer {
  const before = bytes.subarray(0, place);
  switch (how.kind) {
    case "cut":
      return before;
    case "remove":
      return Buffer.concat([before, bytes.subarray(place + how.count)]);
    case "insert":
      return Buffer.concat([before, how.bytes, bytes.subarray(place)]);
    case "byte":
      return Buffer.concat([before, u8(how.value), bytes.subarray(place + 1)]);
    case "word": {
      const value = Buffer.alloc(8);
      value.writeBigUInt64LE(how.value);
      return Buffer.concat([before, value, bytes.subarray(place + 8)]);
    }
  }
}

/** Runs `open` and tells whether it was taken; any error but ModelFileError, or a slow answer, fails the test. */
function outcome(open: () => void): "taken" | "refused" {
  const start = performance.now();
  let result: "taken" | "refused" = "taken";
  try {
    open();
  } catch (error) {
    if (!(error instanceof ModelFileError)) throw error;
    result = "refused";
  }
  expect(performance.now() - start).toBeLessThan(1000);
  return result;
}

test("a damaged file is opened or refused with a ModelFileError, within a second", () => {
  const seen = { taken: 0, refused: 0 };
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), (list) => {
      const path = folder.write("damaged.gguf", list.reduce(damaged, WHOLE));
      seen[
        outcome(() => {
          const { store } = openGguf(path);
          for (const { name, byteLength } of store.tensors.values()) store.read(name, 0, byteLength);
          store.close();
        })
      ] += 1;
      outcome(() => openModelSource(path).store.close());
    }),
    { numRuns: 1500 },
  );
  // The damage must be neither too little nor too much to prove anything.
  expect(seen.taken).toBeGreaterThan(50);
  expect(seen.refused).toBeGreaterThan(50);
});

test("the undamaged file is opened whole", () => {
  const source = openModelSource(folder.write("whole.gguf", WHOLE));
  expect([...source.store.tensors.keys()]).toEqual(["t.weight", "u.weight"]);
  source.store.close();
});
