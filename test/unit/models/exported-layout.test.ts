/** Which exported graphs are decoders that weir can run; every other is refused by the name of what does not fit. */
import { describe, expect, test } from "vitest";
import { CONTRIB } from "../../../models/compile/onnx.ts";
import { recogniseDecoder } from "../../../models/exported/layout.ts";
import { readOnnxGraph } from "../../../models/formats/onnx.ts";
import { attention, decoderGraph, rightParts, VOCABULARY } from "../../support/decoder-graph.ts";
import { modelFolder } from "../../support/gguf-folder.ts";

const folder = modelFolder();
let made = 0;

function recognise(changes: Parameters<typeof decoderGraph>[0]) {
  made += 1;
  const path = folder.write(`${made}/model.onnx`, decoderGraph(changes));
  return recogniseDecoder(path, readOnnxGraph(path));
}

const int64 = (...shape: (number | string)[]) => ["int64", shape] as const;
const cacheOf = (heads: number | string, width: number | string) =>
  ["float32", ["batch", heads, "past", width]] as const;
const layer = (changes: Partial<ReturnType<typeof attention>>) => [
  { ...attention(0), ...changes },
  attention(1),
];
const quantised = (attributes: Record<string, number>) => [
  ...rightParts.nodes,
  { operator: "MatMulNBits", inputs: ["a", "b"], outputs: ["c"], attributes, domain: CONTRIB },
];

describe("a decoder in the layout", () => {
  test("is described: its shape, its optional inputs, its precision", () => {
    expect(recognise({})).toEqual({
      layout: { kind: "masked", positionIds: false, logitsToKeep: false },
      ...{ layers: 2, heads: 4, kvHeads: 2, headDim: 16 },
      vocabSize: VOCABULARY,
      positionsMax: 32,
      ...{ weights: "f32", block: 0 },
    });
  });

  test("may have position_ids and num_logits_to_keep, and leave the vocabulary open", () => {
    const found = recognise({
      inputs: { position_ids: int64("batch", "sequence"), num_logits_to_keep: int64() },
      outputs: { logits: ["float32", ["batch", "sequence", "vocabulary"]] },
    });
    expect(found.layout).toEqual({ kind: "masked", positionIds: true, logitsToKeep: true });
    expect(found.vocabSize).toBeUndefined();
  });

  test.each([
    { attributes: { bits: 4, block_size: 32, N: 64, K: 64 }, precision: { weights: "q4", block: 32 } },
    { attributes: { bits: 8, block_size: 128, N: 64, K: 64 }, precision: { weights: "q8", block: 128 } },
    { attributes: { block_size: 16, N: 64, K: 64 }, precision: { weights: "q4", block: 16 } },
  ])("says which precision most of its weights have: $precision", ({ attributes, precision }) => {
    const few = { bits: 8, block_size: 64, N: 2, K: 64 };
    const [, , , node] = quantised(few);
    const nodes = [...quantised(attributes), { ...(node as ReturnType<typeof attention>), outputs: ["d"] }];
    expect(recognise({ nodes })).toMatchObject(precision);
  });
});

describe("what is refused", () => {
  const refusals: Readonly<Record<string, readonly [Parameters<typeof decoderGraph>[0], RegExp]>> = {
    "no GroupQueryAttention": [
      { nodes: [{ ...attention(0), operator: "MultiHeadAttention" }, attention(1)].slice(0, 1) },
      /GroupQueryAttention: no node of the graph is one/,
    ],
    "an operator that only has its name": [
      { nodes: [0, 1].map((index) => ({ ...attention(index), domain: "ai.other" })) },
      /GroupQueryAttention: no node of the graph is one/,
    ],
    "no input_ids": [{ inputs: { input_ids: undefined } }, /input_ids: the graph has no such input/],
    "no attention_mask": [
      { inputs: { attention_mask: undefined } },
      /attention_mask: the graph has no such input/,
    ],
    "no logits": [{ outputs: { logits: undefined } }, /logits: the graph has no such output/],
    "no cache": [
      {
        inputs: Object.fromEntries(
          Object.keys(rightParts.inputs)
            .slice(2)
            .map((name) => [name, undefined]),
        ),
      },
      /past_key_values\.0\.key: the graph has no such input/,
    ],
    "an input of another layout": [
      { inputs: { use_cache_branch: int64(1) } },
      /input "use_cache_branch": is none that weir can feed; those are input_ids, attention_mask/,
    ],
    "embeddings instead of tokens": [
      { inputs: { inputs_embeds: ["float32", ["batch", "sequence", 64]] } },
      /input "inputs_embeds": is none that weir can feed/,
    ],
    "32-bit token ids": [
      { inputs: { input_ids: ["int32", ["batch", "sequence"]] } },
      /input_ids: is of type int32; weir runs exported graphs with int64 here/,
    ],
    "positions of three dimensions": [
      { inputs: { position_ids: int64(3, "batch", "sequence") } },
      /position_ids: has 3 dimensions instead of 2/,
    ],
    "a batch of fixed size": [
      { inputs: { input_ids: int64(1, "sequence") } },
      /input_ids: is made for batches of 1/,
    ],
    "an int8 cache": [
      { inputs: { "past_key_values.1.value": ["int8", ["batch", 2, "past", 16]] } },
      /past_key_values\.1\.value: is of type int8; weir runs exported graphs with float32 here/,
    ],
    "logits of the last position only": [
      { outputs: { logits: ["float32", ["batch", 1, VOCABULARY]] } },
      /logits: are of 1 position of a run only/,
    ],
    "dynamic quantisation": [
      { nodes: [...rightParts.nodes, { operator: "DynamicQuantizeLinear", inputs: ["x"], outputs: ["y"] }] },
      /DynamicQuantizeLinear: takes one scale over all rows of a run.*\(not int8, uint8 or quantized\)/,
    ],
    "a cache that another node reads too": [
      {
        nodes: [
          ...rightParts.nodes,
          { operator: "Shape", inputs: ["past_key_values.1.key"], outputs: ["length"] },
        ],
      },
      /past_key_values\.1\.key: goes into other nodes than its GroupQueryAttention as well/,
    ],
    "a cache that goes nowhere": [
      { nodes: [attention(0)] },
      /past_key_values\.1\.key: goes into no GroupQueryAttention/,
    ],
    "keys and values of two layers mixed up": [
      { nodes: layer({ outputs: ["attended0", "present.0.key", "present.1.value"] }) },
      /past_key_values\.0\.key: its GroupQueryAttention does not take/,
    ],
    "a missing layer": [
      {
        inputs: {
          "past_key_values.0.key": undefined,
          "past_key_values.0.value": undefined,
          "past_key_values.2.key": cacheOf(2, 16),
        },
      },
      /past_key_values\.0\.key: the graph has no such input/,
    ],
    "heads of an open width": [
      { inputs: { "past_key_values.0.key": cacheOf(2, "width") } },
      /past_key_values\.0\.key: its last dimension must be a number from 1 to \d+, found "width"/,
    ],
    "another number of heads than the attention's": [
      { inputs: { "past_key_values.0.key": cacheOf(4, 16) } },
      /past_key_values\.0\.key: has 4 heads, kv_num_heads is 2/,
    ],
    "layers that differ": [
      { inputs: { "past_key_values.1.key": cacheOf(2, 32), "past_key_values.1.value": cacheOf(2, 32) } },
      /past_key_values\.1\.key: has 2 heads of 32, layer 0 has 2 of 16; all layers must be alike/,
    ],
    "uneven heads": [
      { nodes: layer({ attributes: { num_heads: 3, kv_num_heads: 2 } }) },
      /GroupQueryAttention: 3 query heads do not share 2 KV heads evenly/,
    ],
    "no number of heads": [
      { nodes: layer({ attributes: { kv_num_heads: 2 } }) },
      /GroupQueryAttention: num_heads must be a number from 1 to \d+, found null/,
    ],
    "weights of two bits": [
      { nodes: quantised({ bits: 2, block_size: 32, N: 64, K: 64 }) },
      /MatMulNBits: weights of 2 bits in blocks of 32 are not supported/,
    ],
  };

  test.each(Object.keys(refusals))("%s", (name) => {
    const [changes, says] = refusals[name] as (typeof refusals)[string];
    expect(() => recognise(changes)).toThrow(says);
  });

  test.each(["logits", "present.1.key"])("%s in float16, with the advice to take another export", (name) => {
    made += 1;
    const path = folder.write(`${made}/model.onnx`, decoderGraph({}));
    const graph = readOnnxGraph(path);
    const outputs = graph.outputs.map((value) =>
      value.name === name ? { ...value, type: "float16" as const } : value,
    );
    expect(() => recogniseDecoder(path, { ...graph, outputs })).toThrow(
      `${name}: is of type float16; weir runs exported graphs with float32 here; take the export in f32 or q4`,
    );
  });
});
