/** ONNX graphs in, without their weights; and how every lie in them is named, quickly. */
import { closeSync, mkdirSync, openSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ProtoWriter } from "../../../models/compile/protobuf.ts";
import { readOnnxGraph } from "../../../models/formats/onnx.ts";
import { ModelFileError } from "../../../models/source.ts";
import { attention, decoderGraph, rightParts } from "../../support/decoder-graph.ts";
import { modelFolder } from "../../support/gguf-folder.ts";

const folder = modelFolder();
let made = 0;

/** A directory with this graph and these other files; the graph's path. */
function graphFile(bytes: Uint8Array, others: Readonly<Record<string, Uint8Array>> = {}): string {
  made += 1;
  for (const [name, content] of Object.entries(others)) folder.write(`${made}/${name}`, content);
  return folder.write(`${made}/model.onnx`, bytes);
}

function refusal(path: string): string {
  const start = performance.now();
  try {
    readOnnxGraph(path);
  } catch (error) {
    expect(error).toBeInstanceOf(ModelFileError);
    expect(performance.now() - start).toBeLessThan(1000);
    return (error as ModelFileError).message;
  }
  throw new Error("the graph was taken");
}

const message = (): ProtoWriter => new ProtoWriter();
const model = (graph: ProtoWriter): Uint8Array => message().int(1, 10).message(7, graph).finish();
const entry = (key: string, value: string): ProtoWriter => message().text(1, key).text(2, value);

function tensor(changes: {
  location?: string;
  offset?: string;
  length?: string;
  shape?: readonly number[];
}): ProtoWriter {
  const { location = "data.bin", offset, length, shape = [4, 4] } = changes;
  const proto = message();
  for (const size of shape) proto.int(1, size);
  proto.int(2, 1).text(8, "weight").message(13, entry("location", location));
  if (offset !== undefined) proto.message(13, entry("offset", offset));
  if (length !== undefined) proto.message(13, entry("length", length));
  return proto.int(14, 1);
}

const withTensor = (changes: Parameters<typeof tensor>[0]): string =>
  graphFile(model(message().message(5, tensor(changes))), { "data.bin": new Uint8Array(100) });

/** A node whose body (an attribute, as If has it) is this graph. */
const holding = (body: ProtoWriter): ProtoWriter =>
  message().message(1, message().text(4, "If").message(5, message().text(1, "then_branch").message(6, body)));

describe("a right graph", () => {
  test("gives inputs, outputs, nodes and constants", () => {
    const graph = readOnnxGraph(graphFile(decoderGraph({})));
    expect(graph.inputs.map(({ name }) => name)).toEqual(Object.keys(rightParts.inputs));
    expect(graph.inputs[0]).toEqual({ name: "input_ids", type: "int64", shape: ["batch", "sequence"] });
    expect(graph.outputs[0]).toEqual({ name: "logits", type: "float32", shape: ["batch", "sequence", 50] });
    expect(graph.nodes[0]).toEqual({
      operator: "GroupQueryAttention",
      domain: "com.microsoft",
      inputs: attention(0).inputs,
      outputs: attention(0).outputs,
      integers: new Map([
        ["num_heads", 4],
        ["kv_num_heads", 2],
        ["do_rotary", 1],
      ]),
      depth: 0,
    });
    expect(graph.constants.get("cos")).toEqual({ name: "cos", type: "float32", shape: [32, 8] });
    expect(graph.externalFiles).toEqual([]);
  });

  test("may keep weights in other files, also those of bodies and attributes", () => {
    const body = message().message(5, tensor({ location: "body.bin" }));
    const constant = message().message(
      5,
      message()
        .text(1, "value")
        .message(5, tensor({ location: "attribute.bin" })),
    );
    const graph = holding(body)
      .message(1, constant.text(4, "Constant"))
      .message(5, tensor({ offset: "36", length: "64" }));
    const data = new Uint8Array(100);
    const path = graphFile(model(graph), { "data.bin": data, "body.bin": data, "attribute.bin": data });
    expect([...readOnnxGraph(path).externalFiles].sort()).toEqual(["attribute.bin", "body.bin", "data.bin"]);
  });

  test("may write negative numbers, packed shapes, and constants that are inputs too", () => {
    const value = message()
      .text(1, "w")
      .message(2, message().message(1, message().int(1, 1)));
    const packed = message()
      .bytes(1, Uint8Array.of(2, 3))
      .int(2, 1)
      .text(8, "w")
      .bytes(9, new Uint8Array(24));
    const node = message().text(4, "Split").message(5, message().text(1, "axis").int(3, -1));
    const graph = readOnnxGraph(
      graphFile(model(message().message(1, node).message(5, packed).message(11, value))),
    );
    expect(graph.constants.get("w")?.shape).toEqual([2, 3]);
    expect(graph.nodes[0]?.integers.get("axis")).toBe(-1);
    expect(graph.inputs).toEqual([]);
  });

  test("is read without its weights: gigabytes inside it cost nothing", () => {
    const weights = 1.5 * 2 ** 30;
    const varint = (value: number): number[] =>
      value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
    const head = (field: number, length: number): number[] => [...varint(field * 8 + 2), ...varint(length)];
    // One tensor of int8, wrapped by hand, so that its bytes need not be made.
    const described = message().int(1, weights).int(2, 3).text(8, "huge").finish();
    const raw = head(9, weights);
    const inner = described.length + raw.length + weights;
    const outer = head(5, inner);
    const start = Uint8Array.from([...head(7, outer.length + inner), ...outer, ...described, ...raw]);
    const path = graphFile(start);
    truncateSync(path, start.length + weights);
    const began = performance.now();
    expect(readOnnxGraph(path).constants.get("huge")?.shape).toEqual([weights]);
    expect(performance.now() - began).toBeLessThan(500);
  });
});

describe("a damaged or hostile graph", () => {
  test("cut anywhere, says where", () => {
    const bytes = decoderGraph({});
    for (let length = 1; length < bytes.length; length += 97) {
      expect(refusal(graphFile(bytes.slice(0, length)))).toMatch(/model\.onnx: .*(cut short|is missing)/);
    }
  });

  test.each([
    ["nothing at all", new Uint8Array(0), /graph: is missing: this is no ONNX model/],
    ["a text", Buffer.from("<!doctype html><title>404</title>"), /model: .*this is no ONNX model/],
    ["a GGUF", Buffer.from("GGUF\u0003\0\0\0"), /model: /],
    ["field 0", Uint8Array.of(0, 0), /model: has no field at byte 0/],
    ["a group", Uint8Array.of(0x0b), /model: field 1 at byte 0 has wire type 3/],
    ["a number without end", new Uint8Array(40).fill(0xff), /model: the number at byte 0 has no end/],
    [
      "a length of nine exabytes",
      Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
      /model: field 7 at byte \d+ would be \d+ bytes long, 0 are left/,
    ],
    [
      "a negative length",
      Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
      /model: field 7 at byte \d+ would be -1 bytes long/,
    ],
    [
      "two graphs",
      message().message(7, message()).message(7, message()).finish(),
      /graph: there is more than one/,
    ],
    [
      "a name of a megabyte",
      model(message().message(1, message().text(4, "x".repeat(2 ** 20)))),
      /node op_type: has 1048576 bytes; the longest text read is 4096/,
    ],
    [
      "two weights of one name",
      model(
        message().message(5, message().int(2, 1).text(8, "w")).message(5, message().int(2, 1).text(8, "w")),
      ),
      /initializer "w": there are two of this name/,
    ],
    [
      "a shape that no memory holds",
      model(
        message().message(
          5,
          message()
            .int(1, 2 ** 40)
            .int(1, 2 ** 40)
            .int(2, 1)
            .text(8, "w"),
        ),
      ),
      /initializer "w": the shape \[1099511627776, 1099511627776\] is out of bounds/,
    ],
    [
      "a negative size",
      model(message().message(5, message().int(1, -4).int(2, 1).text(8, "w"))),
      /initializer "w": the shape \[-4\] is out of bounds/,
    ],
    [
      "fewer bytes than the shape takes",
      model(message().message(5, message().int(1, 4).int(2, 1).text(8, "w").bytes(9, new Uint8Array(15)))),
      /initializer "w": has 15 bytes of data, its shape takes 16/,
    ],
    [
      "an input that is no tensor",
      model(message().message(11, message().text(1, "x").message(2, message().message(4, message())))),
      /input "x": is no tensor/,
    ],
    [
      "sparse weights",
      model(message().message(15, message())),
      /sparse_initializer: sparse weights are not supported/,
    ],
    [
      "bodies in bodies",
      model(Array.from({ length: 12 }).reduce<ProtoWriter>((inner) => holding(inner), message())),
      /graph: has bodies nested deeper than 8/,
    ],
  ])("%s", (_, bytes, says) => {
    expect(refusal(graphFile(bytes))).toMatch(says);
  });

  test("with more fields than any real graph is given up soon", () => {
    const node = message().message(1, message()).finish();
    const many = new Uint8Array(node.length * 1_100_000);
    for (let at = 0; at < many.length; at += node.length) many.set(node, at);
    const path = graphFile(message().bytes(7, many).finish());
    expect(refusal(path)).toMatch(/graph: the graph has more than 1000000 fields/);
  });

  test("with more names than memory should hold is given up soon", () => {
    const node = message().text(4, "x".repeat(4096));
    const many = message();
    for (let count = 0; count < 17_000; count += 1) many.message(1, node);
    expect(refusal(graphFile(model(many)))).toMatch(/there are more than \d+ bytes of names/);
  });

  test.each([
    "../data.bin",
    "/etc/passwd",
    "sub/data.bin",
    "..",
    ".hidden",
    "",
    "data.bin\0",
    "C:\\data.bin",
    "x".repeat(300),
  ])("weights in %j are refused", (location) => {
    expect(refusal(withTensor({ location }))).toMatch(
      /initializer "weight" location: ".*" is not a plain name of a file beside the graph/,
    );
  });

  test.each([
    [
      { offset: "40" },
      /data\.bin: initializer "weight": its data would end at byte 104, the file ends at byte 100/,
    ],
    [{ offset: "9007199254740993" }, /weight" offset: "9007199254740993" is not a whole number of bytes/],
    [{ offset: "-4" }, /weight" offset: "-4" is not a whole number of bytes/],
    [{ offset: "1e3" }, /weight" offset: "1e3" is not a whole number of bytes/],
    [{ length: "63" }, /weight" length: is 63 bytes, its shape takes 64/],
    [{ location: "absent.bin" }, /absent\.bin: file: cannot be opened \(ENOENT\)/],
    [{ shape: [5, 6] }, /its data would end at byte 120, the file ends at byte 100/],
  ])("weights placed at %j are refused", (changes, says) => {
    expect(refusal(withTensor(changes))).toMatch(says);
  });

  test("weights in a folder or a device are refused", () => {
    const path = withTensor({ location: "folder.bin" });
    mkdirSync(join(path, "..", "folder.bin"));
    expect(refusal(path)).toMatch(/folder\.bin: file: is not a regular file/);
  });

  test("a file of more than two gigabytes is no graph", () => {
    const path = graphFile(new Uint8Array(8));
    const handle = openSync(path, "r+");
    writeSync(handle, Uint8Array.of(0), 0, 1, 2 ** 31);
    closeSync(handle);
    expect(refusal(path)).toMatch(/file: has 2147483649 bytes; an ONNX graph has less than/);
  });
});
