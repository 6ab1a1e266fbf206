/**
 * Takes an exported model in as it is: graph and weights are copied, byte by byte, and digested on the way; the manifest
 * says that the graph is of another layout than weir's own. Nothing is converted, so nothing is lost.
 */
import { createHash } from "node:crypto";
import { createReadStream, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { GRAPH_NAME, MANIFEST_NAME, Manifest, TOKENIZER_CONFIG_NAME, TOKENIZER_NAME } from "../manifest.ts";
import { ModelFileError } from "../source.ts";
import type { ExportedSource } from "./open.ts";

export interface AdoptRequest {
  readonly name: string;
  /** An empty folder. */
  readonly outDir: string;
  /** Seconds since 1970. */
  readonly createdAt: number;
  readonly origin?: string;
  readonly onProgress: (done: number, total: number, what: string) => void;
}

const ADOPTER = "weir-adopter 1";
/** What weir writes into a model's folder ends so; files with weights never do. */
const OWN_NAME = /\.(?:onnx|json)$/i;
const PIECE_BYTES = 1 << 20;

type FileRecord = Manifest["files"][number];

/** Bytes that the installed model takes, tokenizer and manifest aside. */
export const adoptedBytes = (source: ExportedSource): number =>
  filesOf(source).reduce((sum, { from }) => sum + statSync(from).size, 0);

/** Fills `outDir` with an installed model; what is in it after a failure is the caller's to remove. */
export async function adoptExported(source: ExportedSource, request: AdoptRequest): Promise<Manifest> {
  const { outDir } = request;
  const taken = source.externalFiles.find((name) => OWN_NAME.test(name));
  if (taken !== undefined) {
    throw new ModelFileError(source.path, "external data", `the name ${taken} is kept for weir's own files`);
  }
  const total = adoptedBytes(source);
  let done = 0;
  const copied: FileRecord[] = [];
  const originals: FileRecord[] = [];
  for (const { from, name } of filesOf(source)) {
    const record = await copyDigested(from, join(outDir, name), (bytes) => {
      done += bytes;
      request.onProgress(Math.min(done, total), total, "weights");
    });
    copied.push({ name, ...record });
    originals.push({ name: basename(from), ...record });
  }
  for (const path of source.files) originals.push({ name: basename(path), ...(await digested(path)) });
  for (const [name, content] of [
    [TOKENIZER_NAME, source.tokenizer.tokenizerJson],
    [TOKENIZER_CONFIG_NAME, source.tokenizer.tokenizerConfig],
  ] as const) {
    writeFileSync(join(outDir, name), JSON.stringify(content));
    copied.push({ name, ...(await digested(join(outDir, name))) });
  }
  const manifest = Manifest.parse(describe(source, request, originals, copied));
  writeFileSync(join(outDir, MANIFEST_NAME), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

/** The graph takes weir's name for graphs; its weights keep theirs, which stand in the graph. */
const filesOf = (source: ExportedSource): readonly { readonly from: string; readonly name: string }[] => [
  { from: source.path, name: GRAPH_NAME },
  ...source.externalFiles.map((name) => ({ from: join(dirname(source.path), name), name })),
];

function describe(
  source: ExportedSource,
  request: AdoptRequest,
  originals: readonly FileRecord[],
  files: readonly FileRecord[],
): Manifest {
  const { decoder, tokenizer, licence } = source;
  const template = tokenizer.tokenizerConfig["chat_template"];
  const { origin } = request;
  return {
    weir: 1,
    name: request.name,
    architecture: source.architecture,
    geometry: source.geometry,
    contextLength: source.contextLength,
    graph: decoder.layout,
    precision: {
      weights: decoder.weights,
      block: decoder.block as Manifest["precision"]["block"],
      lossless: true,
      kv: "f32",
      kvScales: [],
    },
    tokens: { bos: source.bosToken ?? null, end: [...source.endTokens] },
    source: { kind: "onnx", files: [...originals], ...(origin === undefined ? {} : { origin }) },
    ...(licence === undefined ? {} : { licence }),
    hasChatTemplate: template !== undefined && template !== null,
    createdAt: request.createdAt,
    compiler: ADOPTER,
    files: [...files],
  };
}

/** What is digested is what was written, whatever happens to the original meanwhile. */
async function copyDigested(
  from: string,
  to: string,
  onBytes: (bytes: number) => void,
): Promise<Omit<FileRecord, "name">> {
  const hash = createHash("sha256");
  let bytes = 0;
  await using target = await open(to, "wx");
  for await (const part of createReadStream(from, { highWaterMark: PIECE_BYTES })) {
    const piece = part as Uint8Array;
    hash.update(piece);
    await target.writeFile(piece);
    bytes += piece.byteLength;
    onBytes(piece.byteLength);
  }
  await target.sync();
  return { bytes, sha256: hash.digest("hex") };
}

async function digested(path: string): Promise<Omit<FileRecord, "name">> {
  const hash = createHash("sha256");
  for await (const part of createReadStream(path, { highWaterMark: PIECE_BYTES }))
    hash.update(part as Uint8Array);
  return { bytes: statSync(path).size, sha256: hash.digest("hex") };
}
