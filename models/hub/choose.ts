/** Which files of a repository make up the model. */
import { posix } from "node:path";
import { final } from "./hub-error.ts";
import type { HubFile, HubListing } from "./listing.ts";

export interface Choice {
  readonly kind: "gguf" | "safetensors" | "onnx";
  /** Small ones first, so that a mistake shows early. */
  readonly files: readonly HubFile[];
  /** What is imported: the folder itself, or this file in it. */
  readonly file: HubFile | undefined;
}

/** Beside the weights; those that a repository has are taken. */
const COMPANIONS = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "chat_template.json",
  "added_tokens.json",
];
const NEEDED = ["config.json", "tokenizer.json"];
const INDEX = "model.safetensors.index.json";
const SHARD = /^model-(\d{5})-of-(\d{5})\.safetensors$/;
const GGUF_SHARD = /-\d{5}-of-\d{5}\.gguf$/i;
const LISTED_MAX = 40;

/** As `models import` takes them: in the repository's root, or in the folder that Transformers.js reads. */
const GRAPH = /(^|\/)[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\.onnx$/;
const GRAPH_FOLDERS = [".", "onnx"];
const GENAI_CONFIG = "genai_config.json";
/** Of several graphs: whole weights, else 4-bit ones. The import refuses half precision and dynamic quantisation. */
const PREFERRED = ["model.onnx", "model_q4.onnx"];

/** `wanted`: what `--file` says. Throws HubError that lists the candidates where a person has to choose. */
export function chooseFiles(listing: HubListing, wanted: string | undefined): Choice {
  const ggufs = listing.files.filter((file) => file.path.toLowerCase().endsWith(".gguf"));
  if (wanted !== undefined) return chooseNamed(listing, ggufs, wanted);
  const weights = safetensorsOf(listing.files);
  if (weights.length > 0) {
    const has = (name: string): boolean => listing.files.some((file) => file.path === name);
    const missing = NEEDED.filter((name) => !has(name));
    if (missing.length === 0) {
      const companions = listing.files.filter((file) => COMPANIONS.includes(file.path));
      const files = [...companions, ...weights].sort((a, b) => a.size - b.size);
      return { kind: "safetensors", files, file: undefined };
    }
    if (ggufs.length === 0) {
      throw final(
        `${listing.repository} has safetensors but no ${missing.join(" and no ")}, which weir needs. Look for a GGUF version of it.`,
      );
    }
  }
  const [first, ...more] = ggufs;
  if (first === undefined) return chooseGraph(listing);
  if (more.length > 0) {
    throw final(
      `${listing.repository} holds several GGUF files. Choose one with --file NAME:\n${named(ggufs)}`,
    );
  }
  return single(first);
}

function chooseNamed(listing: HubListing, ggufs: readonly HubFile[], wanted: string): Choice {
  const found = listing.files.find((file) => file.path === wanted);
  if (found === undefined) {
    const choices = [...ggufs, ...listing.files.filter(({ path }) => GRAPH.test(path))];
    const there = choices.length === 0 ? "" : ` It has:\n${named(choices)}`;
    throw final(`${listing.repository} has no file ${JSON.stringify(wanted.slice(0, 200))}.${there}`);
  }
  if (GRAPH.test(found.path)) return graphChoice(listing, found);
  if (!ggufs.includes(found)) {
    throw final(
      `--file chooses a GGUF file or an exported graph (.onnx); ${wanted} is none. Without --file the safetensors are taken.`,
    );
  }
  return single(found);
}

/** For a repository that holds neither safetensors nor a GGUF file. */
function chooseGraph(listing: HubListing): Choice {
  const graphs = listing.files.filter(({ path }) => GRAPH.test(path));
  const usual = graphs.filter(({ path }) => GRAPH_FOLDERS.includes(posix.dirname(path)));
  const preferred = PREFERRED.map((name) => usual.find(({ path }) => posix.basename(path) === name));
  const graph = preferred.find((file) => file !== undefined) ?? (usual.length === 1 ? usual[0] : undefined);
  if (graph !== undefined) return graphChoice(listing, graph);
  if (graphs.length === 0) throw noModel(listing);
  throw final(
    `${listing.repository} holds exported graphs of its own kind. Choose one with --file NAME:\n${named(graphs)}`,
  );
}

/** The graph, the files beside it that its name says hold its weights, and what is said of it. */
function graphChoice({ repository, files }: HubListing, graph: HubFile): Choice {
  const folder = posix.dirname(graph.path);
  const has = (path: string): boolean => files.some((file) => file.path === path);
  const isApart = posix.basename(folder) === "onnx" && !has(posix.join(folder, "tokenizer.json"));
  const home = isApart ? posix.dirname(folder) : folder;
  const configs = ["config.json", GENAI_CONFIG].filter((name) => has(posix.join(home, name)));
  const missing = [
    ...(configs.length === 0 ? ["config.json"] : []),
    ...(has(posix.join(home, "tokenizer.json")) ? [] : ["tokenizer.json"]),
  ];
  if (missing.length > 0) {
    throw final(`${repository} has ${graph.path} but no ${missing.join(" and no ")}, which weir needs.`);
  }
  const named = [...COMPANIONS, GENAI_CONFIG].map((name) => posix.join(home, name));
  const companions = files.filter(({ path }) => named.includes(path));
  const data = files.filter(({ path }) =>
    [".data", "_data"].some((end) => path.startsWith(graph.path + end)),
  );
  return {
    kind: "onnx",
    files: [...companions, graph, ...data].sort((a, b) => a.size - b.size),
    file: graph,
  };
}

function single(file: HubFile): Choice {
  if (GGUF_SHARD.test(file.path)) {
    throw final(
      `${file.path} is one part of a split GGUF, which weir does not read. Choose a version in one file.`,
    );
  }
  return { kind: "gguf", files: [file], file };
}

/** model.safetensors, or a complete set of shards with its index; other layouts (consolidated, original) are not taken. */
function safetensorsOf(files: readonly HubFile[]): readonly HubFile[] {
  const whole = files.find((file) => file.path === "model.safetensors");
  if (whole !== undefined) return [whole];
  const index = files.find((file) => file.path === INDEX);
  const shards = files.filter((file) => SHARD.test(file.path));
  const [, , count] = SHARD.exec(shards[0]?.path ?? "") ?? [];
  if (index === undefined || shards.length === 0 || shards.length !== Number(count)) return [];
  return [index, ...shards];
}

function noModel({ repository, files }: HubListing) {
  const pickled = files.some((file) => /\.(bin|pt|pth)$/.test(file.path));
  const why = pickled
    ? "its weights are pickled (.bin), which weir does not open because such files can run code"
    : "it has neither safetensors nor a GGUF file nor an exported ONNX graph";
  return final(
    `${repository} holds no model for weir: ${why}. Look for a safetensors or GGUF version of it.`,
  );
}

const named = (files: readonly HubFile[]): string =>
  files
    .slice(0, LISTED_MAX)
    .map((file) => `  --file ${file.path}  (${(file.size / 1e6).toFixed(0)} MB)`)
    .concat(files.length > LISTED_MAX ? [`  and ${files.length - LISTED_MAX} more`] : [])
    .join("\n");
