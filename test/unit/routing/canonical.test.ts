import { deflateSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { VIEW_BOUNDS, viewsOf } from "../../../engine/routing/canonical.ts";

const views = (text: string) => viewsOf(text, VIEW_BOUNDS);
const base64 = (text: string): string => Buffer.from(text).toString("base64");

describe("a text is also read", () => {
  test.each<[string, string, string]>([
    ["without what does not show", "sa\u200bla\u2060r\ufe0fy\u00ad", "salary"],
    ["without bidi marks", "\u202esalary\u202c", "salary"],
    ["without marks over letters", "s\u0336a\u0336lary", "salary"],
    ["in Latin letters for Cyrillic ones", "ѕаlаrу", "salary"],
    ["in Latin letters for Greek ones", "sαlαry", "salary"],
    ["in half width", "１３８００１３８０００", "13800138000"],
    ["in European digits", "१३८००", "13800"],
    ["as mathematical letters show", "𝐬𝐚𝐥𝐚𝐫𝐲", "salary"],
    ["as letters in circles show", "ⓢⓐⓛⓐⓡⓨ", "salary"],
    [
      "as tags spell",
      `hi${[..."salary"].map((c) => String.fromCodePoint(0xe0000 + c.charCodeAt(0))).join("")}`,
      "salary",
    ],
    ["with Chinese numerals as digits", "一三八零零一三八零零零", "13800138000"],
    ["with capital Chinese numerals as digits", "壹叁捌〇〇壹叁捌〇〇〇", "13800138000"],
    ["with spelled digits as digits", "one three eight zero zero", "13800"],
    ["with letters for digits", "l38OOl38OOO", "13800138000"],
    ["with digits for letters", "emp10yee s4l4ry", "employee"],
    ["with letters set apart", "my s-a-l-a-r-y", "my salary"],
    ["with at and dot", "li.na at firma dot cn", "li.na@firma.cn"],
    ["with at and dot in brackets", "li.na (at) firma [dot] cn", "li.na@firma.cn"],
    ["with Chinese at and dot", "lina艾特firma点cn", "lina@firma.cn"],
    ["from percent codes", "%73%61lary", "salary"],
    ["from \\u escapes", "\\u0073\\u0061lary", "salary"],
    ["from \\x escapes", "\\x73\\x61lary", "salary"],
    ["from entities", "&#115;&#x61;lary&commat;", "salary@"],
    ["from base64", `see ${base64("the salary list")} ok`, "see the salary list ok"],
    ["from hex", Buffer.from("the salary").toString("hex"), "the salary"],
    ["from hex in pairs", "73 61 6c 61 72 79", "salary"],
    ["from gzip in base64", gzipSync("the salary list").toString("base64"), "the salary list"],
    ["from zlib in hex", deflateSync("the salary list").toString("hex"), "the salary list"],
    [
      "from base64 over lines",
      (base64("the salary list ".repeat(12)).match(/.{1,76}/g) ?? []).join("\n"),
      "the salary list ".repeat(12),
    ],
    ["from quoted-printable", "=73=61=6c=61=72=79", "salary"],
    ["from UTF-16 in base64", Buffer.from("the salary", "utf16le").toString("base64"), "the salary"],
    ["three codes deep", base64(base64(base64("the salary list"))), "the salary list"],
  ])("%s", (_, text, read) => {
    const { texts } = views(text);
    expect(texts[0]).toBe(text);
    expect(
      texts.some((view) => view.includes(read)),
      JSON.stringify(texts),
    ).toBe(true);
  });
});

test("plain text has one view", () => {
  for (const text of [
    "What is the capital of France?",
    "def f(x1): return int32(x1) + 3.14",
    "the center at help.firma.com",
    "法国的首都是哪里",
  ]) {
    expect(views(text)).toEqual({ texts: [text], findings: [] });
  }
});

describe("what cannot be read is said", () => {
  test("codes four deep", () => {
    expect(views(base64(base64(base64(base64("the salary list"))))).findings).toContain(
      "doubt.encoding-depth",
    );
  });

  test("a code that unpacks to too much", () => {
    expect(views(gzipSync("a".repeat(3 << 20)).toString("base64")).findings).toContain("doubt.views");
  });

  test("many codes that unpack to too much together, of which the later ones are left packed", () => {
    const bomb = gzipSync("a".repeat(900_000)).toString("base64");
    // All of them would be longer than a string can be.
    expect(views(`${bomb} `.repeat(700)).findings).toContain("doubt.views");
  });

  test("more codes that look packed and are not than anybody writes", () => {
    const broken = (salt: number): string =>
      Buffer.concat([
        gzipSync("x").subarray(0, 10),
        Buffer.from([255, salt & 255, salt >> 8, 9, 9, 9, 9, 9]),
      ]).toString("base64");
    const row = (count: number): string => Array.from({ length: count }, (_, salt) => broken(salt)).join(" ");
    const real = gzipSync("the salary list").toString("base64");
    expect(views(`${row(20)} ${real}`).findings).toEqual([]);
    expect(views(`${row(20)} ${real}`).texts.join()).toContain("the salary list");
    expect(views(`${row(600)} ${real}`).findings).toContain("doubt.views");
  });

  test("sealed bytes of over 200 characters, and not fewer", () => {
    const bytes = Buffer.from(
      Array.from({ length: 300 }, (_, index) => (index * 7919 + index * index * 31 + 128) % 256),
    );
    expect(views(`x ${bytes.toString("base64")}`).findings).toEqual(["blob.opaque"]);
    expect(views(`x ${bytes.toString("hex")}`).findings).toEqual(["blob.opaque"]);
    expect(views(`x ${bytes.subarray(0, 90).toString("base64")}`).findings).toEqual([]);
    expect(views("a".repeat(400)).findings).toEqual([]);
  });
});
