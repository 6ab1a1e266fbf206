/**
 * A directory with a decoder that was exported to ONNX elsewhere: which graph is meant, what the configuration beside it
 * says, and its tokenizer. ORT GenAI writes genai_config.json beside model.onnx; Transformers.js wants config.json, and
 * the graph in the folder onnx/.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { ModelGeometry } from "../../engine/core/model.ts";
import { ConfigReader } from "../architectures/config.ts";
import { quoted } from "../formats/file-cursor.ts";
import { isRecord, type Json, readJsonFile } from "../formats/json-file.ts";
import { readOnnxGraph } from "../formats/onnx.ts";
import { licenceFrom } from "../model-card.ts";
import { ModelFileError, type TokenizerFiles } from "../source.ts";
import { tokenizerFromDirectory } from "../tokenizer/from-directory.ts";
import { type ExportedDecoder, recogniseDecoder } from "./layout.ts";

/** An exported model, opened to be adopted as it is. It holds no open file. */
export interface ExportedSource {
  readonly kind: "onnx";
  /** The graph's file. */
  readonly path: string;
  readonly architecture: string;
  readonly decoder: ExportedDecoder;
  readonly geometry: ModelGeometry;
  readonly contextLength: number;
  readonly tokenizer: TokenizerFiles;
  readonly bosToken: number | undefined;
  readonly endTokens: readonly number[];
  readonly licence: string | undefined;
  /** Files with weights, beside the graph, under the names that it calls them by. */
  readonly externalFiles: readonly string[];
  /** Configuration and tokenizer, to be digested into the manifest. */
  readonly files: readonly string[];
}

const CONFIG = "config.json";
const GENAI_CONFIG = "genai_config.json";
const CONFIG_BYTES_MAX = 4 * 2 ** 20;
const GRAPH_FILE = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\.onnx$/;
const FOLDER = "onnx";
const LISTED_MAX = 20;
const CONTEXT_MAX = 1 << 24;
const WIDTH_MAX = 1 << 17;
const VOCABULARY_MAX = 1 << 21;

export const isGraphFile = (path: string): boolean => GRAPH_FILE.test(basename(path));

/** True where a directory has a graph in one of the places that exporters use. */
export const hasGraph = (directory: string): boolean => graphsIn(directory).length > 0;

/** `path`: a directory with one graph, or the graph's file. Throws ModelFileError naming file and field. */
export function openExported(path: string): ExportedSource {
  const isDirectory = statSync(path).isDirectory();
  const graphPath = isDirectory ? chosenGraph(path) : path;
  const home = isDirectory ? path : homeOf(path);
  const configs = readConfigs(home);
  const graph = readOnnxGraph(graphPath);
  const decoder = recogniseDecoder(graphPath, graph);
  const { merged, reader } = configs;
  const { layers, heads, kvHeads, headDim } = decoder;
  const hidden = reader.count("hidden_size", WIDTH_MAX, heads * headDim);
  const vocabSize = decoder.vocabSize ?? reader.count("vocab_size", VOCABULARY_MAX);
  const context = reader.count("max_position_embeddings", CONTEXT_MAX);
  const architecture = merged["model_type"];
  if (typeof architecture !== "string" || !/^[A-Za-z0-9_.-]{1,64}$/.test(architecture)) {
    return reader.fail("model_type", "must be a text such as llama");
  }
  const tokenizer = tokenizerFromDirectory(home, merged);
  return {
    kind: "onnx",
    path: graphPath,
    architecture,
    decoder,
    geometry: { layers, hidden, heads, kvHeads, headDim, vocabSize },
    contextLength: Math.min(context, decoder.positionsMax ?? context),
    tokenizer: tokenizer.files,
    bosToken: tokenizer.bosToken,
    endTokens: tokenizer.endTokens,
    licence: licenceFrom(join(home, "README.md")),
    externalFiles: graph.externalFiles,
    files: [...configs.paths, ...tokenizer.paths],
  };
}

/** The one that genai_config.json names, or the only one there is. */
function chosenGraph(directory: string): string {
  const named = existsSync(join(directory, GENAI_CONFIG))
    ? decoderOf(readJsonFile(join(directory, GENAI_CONFIG), CONFIG_BYTES_MAX))["filename"]
    : undefined;
  if (named !== undefined) {
    if (typeof named === "string" && GRAPH_FILE.test(named)) return join(directory, named);
    const shown = typeof named === "string" ? quoted(named) : typeof named;
    throw new ModelFileError(
      join(directory, GENAI_CONFIG),
      "model.decoder.filename",
      `${shown} is not a plain name of an .onnx file`,
    );
  }
  const graphs = graphsIn(directory);
  const [only, ...others] = graphs;
  if (only === undefined) throw new ModelFileError(directory, "model.onnx", "is missing");
  if (others.length > 0) {
    const listed = graphs.slice(0, LISTED_MAX).join(", ");
    throw new ModelFileError(
      directory,
      "graph",
      `there are several; import one of them by its path: ${listed}`,
    );
  }
  return join(directory, only);
}

/** Relative to the directory, sorted. */
function graphsIn(directory: string): readonly string[] {
  const inFolder = (folder: string): readonly string[] =>
    statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true
      ? readdirSync(folder)
          .filter((name) => GRAPH_FILE.test(name))
          .sort()
      : [];
  return [...inFolder(directory), ...inFolder(join(directory, FOLDER)).map((name) => `${FOLDER}/${name}`)];
}

/** The folder with configuration and tokenizer. */
function homeOf(graphPath: string): string {
  const folder = dirname(graphPath);
  const isApart = basename(folder) === FOLDER && !existsSync(join(folder, "tokenizer.json"));
  return isApart ? dirname(folder) : folder;
}

interface Configs {
  /** In config.json's words. Where both say something genai_config.json counts: it was written for this very graph. */
  readonly merged: Json;
  readonly reader: ConfigReader;
  readonly paths: readonly string[];
}

function readConfigs(home: string): Configs {
  const paths = [CONFIG, GENAI_CONFIG].map((name) => join(home, name)).filter((path) => existsSync(path));
  const [first] = paths;
  if (first === undefined) {
    throw new ModelFileError(home, CONFIG, `is missing, and so is ${GENAI_CONFIG}`);
  }
  const read = (name: string): Json =>
    paths.includes(join(home, name)) ? readJsonFile(join(home, name), CONFIG_BYTES_MAX) : {};
  const genai = read(GENAI_CONFIG);
  const model = isRecord(genai["model"]) ? genai["model"] : {};
  const merged = {
    ...read(CONFIG),
    ...defined({
      model_type: model["type"],
      max_position_embeddings: model["context_length"],
      hidden_size: decoderOf(genai)["hidden_size"],
      vocab_size: model["vocab_size"],
      bos_token_id: model["bos_token_id"],
      eos_token_id: model["eos_token_id"],
    }),
  };
  return { merged, reader: new ConfigReader({ path: first, config: merged }), paths };
}

function decoderOf(genai: Json): Json {
  const model = genai["model"];
  const decoder = isRecord(model) ? model["decoder"] : undefined;
  return isRecord(decoder) ? decoder : {};
}

const defined = (record: Json): Json =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined && value !== null));
