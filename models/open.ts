/** A model as its author published it, opened for the compiler: a GGUF file or a directory with safetensors. */
import { statSync } from "node:fs";
import { openGguf } from "./formats/gguf.ts";
import { ModelFileError, type ModelSource } from "./source.ts";
import { tokenizerFromGguf } from "./tokenizer/from-gguf.ts";

/** Throws ModelFileError naming file and field. The caller closes `source.store`. */
export function openModelSource(path: string): ModelSource {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new ModelFileError(path, "path", "there is no such file or directory");
  if (stat.isDirectory()) throw new ModelFileError(path, "path", "directories are not supported");
  return openGgufSource(path);
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
