/** GGUF in: what a right file gives, and how every lie in a wrong one is named. */
import { execFileSync } from "node:child_process";
import { truncateSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openGguf } from "../../../models/formats/gguf.ts";
import { ModelFileError } from "../../../models/source.ts";
import {
  array,
  entry,
  f32,
  f64,
  type GgufClaims,
  ggufBytes,
  TYPE,
  tensor,
  text,
  u8,
  u32,
  u64,
  WIDE,
} from "../../support/gguf-bytes.ts";
import { modelFolder } from "../../support/gguf-folder.ts";

const folder = modelFolder();
let files = 0;
function write(bytes: Uint8Array): string {
  files += 1;
  return folder.write(`${files}.gguf`, bytes);
}

/** The error that opening gives; fails the test where there is none, another, or a late one. */
function refusal(path: string): ModelFileError {
  const start = performance.now();
  try {
    openGguf(path).store.close();
  } catch (error) {
    expect(error).toBeInstanceOf(ModelFileError);
    expect(performance.now() - start).toBeLessThan(1000);
    return error as ModelFileError;
  }
  throw new Error("the file was taken");
}

describe("a right file", () => {
  test("gives its tensors with the outermost dimension first, and their bytes", () => {
    const { store } = openGguf(write(ggufBytes()));
    expect(store.tensors.get("t.weight")).toEqual({
      name: "t.weight",
      shape: [2, 4],
      type: "F32",
      byteLength: 32,
    });
    expect(new Float32Array(store.read("t.weight", 16, 8).buffer)).toEqual(Float32Array.of(5, 6));
    store.close();
  });

  test("may be of version 2", () => {
    const { store } = openGguf(write(ggufBytes({ version: 2 })));
    expect(store.tensors.size).toBe(1);
    store.close();
  });

  test("gives metadata of every type", () => {
    const metadata = [
      entry("a.u8", TYPE.u8, u8(200)),
      entry("a.i8", TYPE.i8, u8(200)),
      entry("a.u16", TYPE.u16, u8(1), u8(2)),
      entry("a.i16", TYPE.i16, u8(0), u8(255)),
      entry("a.u32", TYPE.u32, u32(4_000_000_000)),
      entry("a.i32", TYPE.i32, u32(0xffffffff)),
      entry("a.f32", TYPE.f32, f32(0.5)),
      entry("a.bool", TYPE.bool, u8(1)),
      entry("a.text", TYPE.text, text("Grüße, 世界")),
      entry("a.u64", WIDE.u64, u64(2 ** 40)),
      entry("a.i64", WIDE.i64, u64(2n ** 64n - 5n)),
      entry("a.huge", WIDE.u64, u64(2n ** 63n)),
      entry("a.f64", WIDE.f64, f64(1e-300)),
      entry("a.texts", TYPE.array, array(TYPE.text, 2, text("one"), text(""))),
      entry("a.numbers", TYPE.array, array(TYPE.f32, 2, f32(1), f32(-2))),
      entry("a.bools", TYPE.array, array(TYPE.bool, 2, u8(0), u8(1))),
      entry(
        "a.nested",
        TYPE.array,
        array(TYPE.array, 2, array(TYPE.u8, 1, u8(7)), array(TYPE.text, 1, text("x"))),
      ),
      entry("a.empty", TYPE.array, array(TYPE.text, 0)),
      entry("__proto__", TYPE.text, text("only a key")),
    ];
    const { metadata: values, store } = openGguf(write(ggufBytes({ metadata })));
    store.close();
    expect(new Map(Object.entries(values))).toEqual(
      new Map<string, unknown>([
        ["a.u8", 200],
        ["a.i8", -56],
        ["a.u16", 513],
        ["a.i16", -256],
        ["a.u32", 4_000_000_000],
        ["a.i32", -1],
        ["a.f32", 0.5],
        ["a.bool", true],
        ["a.text", "Grüße, 世界"],
        ["a.u64", 2 ** 40],
        ["a.i64", -5],
        ["a.huge", 2n ** 63n],
        ["a.f64", 1e-300],
        ["a.texts", ["one", ""]],
        ["a.numbers", Float32Array.of(1, -2)],
        ["a.bools", [false, true]],
        ["a.nested", [Uint8Array.of(7), ["x"]]],
        ["a.empty", []],
        ["__proto__", "only a key"],
      ]),
    );
  });

  test("keeps another alignment where it says so", () => {
    const metadata = [
      entry("general.alignment", TYPE.u32, u32(64)),
      entry("pad", TYPE.text, text("x".repeat(21))),
    ];
    const header = ggufBytes({ metadata, data: new Uint8Array(0) });
    const start = Math.ceil(header.length / 64) * 64;
    const bytes = Buffer.concat([
      header,
      Buffer.alloc(start - header.length),
      Buffer.from(Float32Array.of(9).buffer),
      Buffer.alloc(28),
    ]);
    const { store } = openGguf(write(bytes));
    expect(new Float32Array(store.read("t.weight", 0, 4).buffer)).toEqual(Float32Array.of(9));
    store.close();
  });
});

describe("reading a tensor", () => {
  test("beyond its end, before its start, of another name or after closing is refused by name", () => {
    const { store } = openGguf(write(ggufBytes()));
    expect(() => store.read("t.weight", 16, 17)).toThrow("t.weight: bytes 16 to 33 of 32 were asked for");
    expect(() => store.read("t.weight", -1, 4)).toThrow(ModelFileError);
    expect(() => store.read("t.weight", 0.5, 4)).toThrow(ModelFileError);
    expect(() => store.read("other", 0, 4)).toThrow('"other": there is no such tensor');
    store.close();
    store.close();
    expect(() => store.read("t.weight", 0, 4)).toThrow("t.weight: was read after the file was closed");
  });

  test("whose file has shrunk since says where it ends now", () => {
    const path = write(ggufBytes());
    const { store } = openGguf(path);
    truncateSync(path, 130);
    expect(() => store.read("t.weight", 0, 32)).toThrow(/t\.weight: the file ends at byte 130/);
    store.close();
  });
});

const LONG = 10_000_000_000;
const array5Deep = [9, 9, 9, 9, 0].reduceRight<Buffer>((inner, type) => array(type, 1, inner), u8(1));

const LIES: readonly [string, GgufClaims, RegExp][] = [
  ["another magic", { magic: "GGML" }, /magic: this is not a GGUF file/],
  ["version 1", { version: 1 }, /version: is 1; supported: 2, 3/],
  ["a big-endian version", { version: 3 << 24 }, /version: the file is big-endian/],
  ["a billion tensors", { tensorCount: 1e9 }, /tensor_count: is 1000000000; the largest read is 65536/],
  ["more tensors than bytes", { tensorCount: 60_000 }, /tensor_count: is 60000, which needs at least/],
  ["2^64 - 1 tensors", { tensorCount: 2n ** 64n - 1n }, /tensor_count: 18446744073709551615 is out of any/],
  ["one tensor too many", { tensorCount: 2 }, /tensor\[1\]/],
  [
    "more metadata than bytes",
    { metadataCount: 50_000 },
    /metadata_kv_count: is 50000, which needs at least/,
  ],
  ["a key without a name", { metadata: [entry("", TYPE.u8, u8(1))] }, /metadata\[0\]: a name of 0 bytes/],
  [
    "a key of 10 GB",
    { metadata: [Buffer.concat([u64(LONG), Buffer.alloc(40)])] },
    /metadata\[0\]: a name of 10000000000/,
  ],
  [
    "a text of 10 GB",
    { metadata: [entry("k", TYPE.text, u64(LONG))] },
    /metadata "k": a text of 10000000000 bytes/,
  ],
  [
    "a text beyond the end",
    { metadata: [entry("k", TYPE.text, u64(5000))] },
    /metadata "k": needs 5000 bytes at byte/,
  ],
  ["an unknown value type", { metadata: [entry("k", 13, u8(1))] }, /metadata "k": value type 13 is unknown/],
  [
    "a truth value of 2",
    { metadata: [entry("k", TYPE.bool, u8(2))] },
    /metadata "k": 2 is not a truth value/,
  ],
  [
    "an array of 10 GB",
    { metadata: [entry("k", TYPE.array, array(TYPE.u8, LONG))] },
    /"k": 10000000000 elements/,
  ],
  [
    "an array beyond the end",
    { metadata: [entry("k", TYPE.array, array(WIDE.f64, 1e6))] },
    /"k": needs 8000000 bytes/,
  ],
  [
    "a million texts in no bytes",
    { metadata: [entry("k", TYPE.array, array(TYPE.text, 1e6))] },
    /"k": needs 8000000/,
  ],
  [
    "an array of unknown type",
    { metadata: [entry("k", TYPE.array, array(77, 1, u8(1)))] },
    /"k"\[0\]: value type 77/,
  ],
  ["arrays five deep", { metadata: [entry("k", TYPE.array, array5Deep)] }, /arrays nest deeper than 4/],
  [
    "a key twice",
    { metadata: [entry("k", TYPE.u8, u8(1)), entry("k", TYPE.u8, u8(2))] },
    /metadata "k": stands twice in the file/,
  ],
  [
    "a part of several",
    { metadata: [entry("split.count", TYPE.u32, u32(3))] },
    /split\.count: the file is one of 3 parts/,
  ],
  [
    "alignment 0",
    { metadata: [entry("general.alignment", TYPE.u32, u32(0))] },
    /general\.alignment: must be a power/,
  ],
  [
    "alignment 24",
    { metadata: [entry("general.alignment", TYPE.u32, u32(24))] },
    /general\.alignment: must be a power/,
  ],
  [
    "a way out in a name",
    { tensors: [tensor({ name: "../../etc/passwd" })] },
    /tensor\[0\]: the name "\.\.\/\.\.\/etc/,
  ],
  ["dots in a name", { tensors: [tensor({ name: "a..b" })] }, /tensor\[0\]: the name "a\.\.b"/],
  ["a control character in a name", { tensors: [tensor({ name: "a\u001b[2J" })] }, /the name "a\\u001b\[2J"/],
  [
    "a name of 300 letters",
    { tensors: [tensor({ name: "a".repeat(300) })] },
    /tensor\[0\]: the name "a+\.\.\."/,
  ],
  ["no dimensions", { tensors: [tensor({ dimensions: [] })] }, /t\.weight: has 0 dimensions/],
  [
    "a billion dimensions",
    { tensors: [tensor({ dimensionCount: 1e9 })] },
    /t\.weight: has 1000000000 dimensions/,
  ],
  ["a dimension of 0", { tensors: [tensor({ dimensions: [4, 0] })] }, /t\.weight: dimension 1 is 0/],
  [
    "a shape beyond 2^64",
    { tensors: [tensor({ dimensions: [2 ** 40, 2 ** 40, 2 ** 40, 2 ** 40] })] },
    /t\.weight: a shape of .* elements does not fit into the file/,
  ],
  [
    "type Q5_1",
    { tensors: [tensor({ type: 7 })] },
    /t\.weight: type Q5_1 is not supported; supported: F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K, Q6_K/,
  ],
  ["type Q3_K", { tensors: [tensor({ type: 11 })] }, /t\.weight: type Q3_K is not supported/],
  [
    "an unknown type",
    { tensors: [tensor({ type: 999 })] },
    /t\.weight: type number 999 \(unknown\) is not supported/,
  ],
  [
    "rows of half a block",
    { tensors: [tensor({ type: 8, dimensions: [16, 2] })] },
    /rows of 16 elements are not whole blocks of 32 \(Q8_0\)/,
  ],
  [
    "rows of half a block of 256",
    { tensors: [tensor({ type: 12, dimensions: [128, 2] })] },
    /t\.weight: rows of 128 elements are not whole blocks of 256 \(Q4_K\)/,
  ],
  [
    "rows of one and a half blocks of 256",
    { tensors: [tensor({ type: 13, dimensions: [384, 2] })], data: new Uint8Array(528) },
    /t\.weight: rows of 384 elements are not whole blocks of 256 \(Q5_K\)/,
  ],
  [
    "rows one short of a block of 256",
    { tensors: [tensor({ type: 14, dimensions: [255, 1] })], data: new Uint8Array(210) },
    /t\.weight: rows of 255 elements are not whole blocks of 256 \(Q6_K\)/,
  ],
  [
    "a block of 256 that lacks its last byte",
    { tensors: [tensor({ type: 14, dimensions: [256, 1] })], data: new Uint8Array(209) },
    /t\.weight: its data would end at byte \d+, the file ends/,
  ],
  ["a crooked offset", { tensors: [tensor({ offset: 4 })] }, /t\.weight: offset 4 is not a multiple of 32/],
  [
    "an offset beyond the end",
    { tensors: [tensor({ offset: 1 << 20 })] },
    /t\.weight: its data would end at byte \d+, the file ends/,
  ],
  [
    "an offset near 2^53",
    { tensors: [tensor({ offset: 2 ** 53 - 32 })] },
    /t\.weight: its data would end at byte/,
  ],
  [
    "an offset near 2^64",
    { tensors: [tensor({ offset: 2n ** 64n - 32n })] },
    /t\.weight: offset: 18446744073709551584/,
  ],
  ["too little data", { data: new Uint8Array(31) }, /t\.weight: its data would end at byte/],
  ["a tensor twice", { tensors: [tensor(), tensor()] }, /t\.weight: this tensor stands twice in the file/],
  [
    "two tensors in one place",
    { tensors: [tensor(), tensor({ name: "u.weight", dimensions: [4], offset: 0 })] },
    /(t|u)\.weight: its data overlaps that of (t|u)\.weight/,
  ],
];

describe("a wrong file", () => {
  test.each(LIES)("with %s is refused, and the field named", (_, claims, message) => {
    const path = write(ggufBytes(claims));
    const error = refusal(path);
    expect(error.message).toMatch(message);
    expect(error.file).toBe(path);
  });

  test("cut off at any byte is refused", () => {
    const whole = ggufBytes({
      metadata: [entry("k", TYPE.array, array(TYPE.text, 2, text("ab"), text("cd")))],
    });
    for (let length = 0; length < whole.length; length += 1) refusal(write(whole.subarray(0, length)));
  });

  test("that is 10 GB of nothing after a false count is refused at once", () => {
    const path = write(ggufBytes({ metadata: [entry("k", TYPE.text, u64(9_000_000_000))] }));
    truncateSync(path, LONG);
    expect(refusal(path).message).toMatch(/metadata "k": a text of 9000000000 bytes/);
  });

  test("whose texts go on for gigabytes is given up at the header's bound", () => {
    const texts = entry("k", TYPE.array, array(TYPE.array, 100_000, array(TYPE.u8, 1, u8(1))));
    const path = write(ggufBytes({ metadata: [texts] }));
    truncateSync(path, LONG);
    expect(refusal(path).message).toMatch(/metadata "k"/);
  });

  test("that is a folder, a pipe or nothing is refused without waiting", () => {
    expect(refusal(folder.path).message).toMatch(/file: (is not a regular file|cannot be opened)/);
    expect(refusal(join(folder.path, "nothing")).message).toMatch(/file: cannot be opened \(ENOENT\)/);
    const pipe = join(folder.path, "pipe");
    execFileSync("mkfifo", [pipe]);
    expect(refusal(pipe).message).toMatch(/file: is not a regular file/);
  });
});
