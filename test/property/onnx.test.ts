/** Whatever happens to an exported graph's bytes, it is read or refused by file and field: nothing else, and soon. */
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { recogniseDecoder } from "../../models/exported/layout.ts";
import { readOnnxGraph } from "../../models/formats/onnx.ts";
import { ModelFileError } from "../../models/source.ts";
import { decoderGraph } from "../support/decoder-graph.ts";
import { modelFolder } from "../support/gguf-folder.ts";

const folder = modelFolder();
const right = Buffer.from(decoderGraph({}));
/** Inputs and outputs stand first, nodes last; between them lie constants, whose bytes are only jumped over. */
const END_BYTES = 700;
const place = fc.oneof(
  fc.integer({ min: 0, max: END_BYTES }),
  fc.integer({ min: right.length - END_BYTES, max: right.length - 1 }),
);

const damage = fc.record({
  changes: fc.array(fc.record({ at: place, byte: fc.integer({ min: 0, max: 255 }) }), { maxLength: 6 }),
  cut: fc.option(fc.integer({ min: 0, max: right.length }), { freq: 4 }),
});

const outcomes = { taken: 0, refused: 0 };

test("a graph that was damaged at random is read, or refused with its file and a field", () => {
  fc.assert(
    fc.property(damage, ({ changes, cut }) => {
      const bytes = Buffer.from(right);
      for (const { at, byte } of changes) bytes[at] = byte;
      const path = folder.write("model.onnx", bytes.subarray(0, cut ?? bytes.length));
      const start = performance.now();
      try {
        recogniseDecoder(path, readOnnxGraph(path));
        outcomes.taken += 1;
      } catch (error) {
        outcomes.refused += 1;
        expect(error).toBeInstanceOf(ModelFileError);
        expect((error as ModelFileError).message.startsWith(`${join(folder.path, "model.onnx")}: `)).toBe(
          true,
        );
        expect((error as ModelFileError).field).not.toBe("");
      }
      expect(performance.now() - start).toBeLessThan(1000);
    }),
    { numRuns: 500 },
  );
  expect(outcomes.taken).toBeGreaterThan(0);
  expect(outcomes.refused).toBeGreaterThan(100);
});
