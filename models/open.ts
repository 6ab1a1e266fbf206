/** A model as its author published it: a GGUF file, a directory with safetensors, or one with an exported graph. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { type ExportedSource, hasGraph, isGraphFile, openExported } from "./exported/open.ts";
import { openGguf } from "./formats/gguf.ts";
import { readJsonFile } from "./formats/json-file.ts";
import { hasSafetensors, openSafetensors } from "./formats/safetensors.ts";
import { licenceFrom } from "./model-card.ts";
import { ModelFileError, type ModelSource } from "./source.ts";
import { tokenizerFromDirectory } from "./tokenizer/from-directory.ts";
import { tokenizerFromGguf } from "./tokenizer/from-gguf.ts";

/** As `openModelSource`; an exported graph, or a directory that has one and no weights to compile, is opened as such. */
export function openImport(path: string): ModelSource | ExportedSource {
  const stat = statSync(path, { throwIfNoEntry: false });
  const isExported = stat?.isDirectory() ? hasGraph(path) && !hasSafetensors(path) : isGraphFile(path);
  return stat !== undefined && isExported ? openExported(path) : openModelSource(path);
}

/** For the compiler. Throws ModelFileError naming file and field. The caller closes `source.store`. */
export function openModelSource(path: string): ModelSource {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new ModelFileError(path, "path", "there is no such file or directory");
  return stat.isDirectory() ? openDirectorySource(path) : openGgufSource(path);
}

function openGgufSource(path: string): ModelSource {
  const { metadata, store } = openGguf(path);
  try {
    const architecture = metadata["general.architecture"];
    if (typeof architecture !== "string") {
      throw new ModelFileError(path, "general.architecture", "must be a text such as llama");
    }
    const licence = metadata["general.license"];
    const tokenizer = tokenizerFromGguf(path, metadata);
    return {
      kind: "gguf",
      path,
      architecture,
      config: metadata,
      store,
      tokenizer: tokenizer.files,
      bosToken: tokenizer.bosToken,
      endTokens: tokenizer.endTokens,
      licence: typeof licence === "string" ? licence : undefined,
      files: [path],
    };
  } catch (error) {
    store.close();
    throw error;
  }
}

const CONFIG_BYTES_MAX = 4 * 2 ** 20;

function openDirectorySource(path: string): ModelSource {
  const configPath = join(path, "config.json");
  const config = readJsonFile(configPath, CONFIG_BYTES_MAX);
  const architecture = config["model_type"];
  if (typeof architecture !== "string")
    throw new ModelFileError(configPath, "model_type", "must be a text such as llama");
  const tokenizer = tokenizerFromDirectory(path, config);
  const { store, files } = openSafetensors(path);
  return {
    kind: "safetensors",
    path,
    architecture,
    config,
    store,
    tokenizer: tokenizer.files,
    bosToken: tokenizer.bosToken,
    endTokens: tokenizer.endTokens,
    licence: licenceFrom(join(path, "README.md")),
    files: [configPath, ...tokenizer.paths, ...files],
  };
}
