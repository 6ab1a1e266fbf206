/** An import that stops half way and waits to be killed; writes a line to standard output once it is there. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCatalog } from "../../models/catalog.ts";
import { installModel } from "../../models/install.ts";
import { smallSource } from "./small-model.ts";

const modelsFolder = process.argv[2] ?? "";
await installModel(
  { path: "small.gguf", name: "small", quant: undefined, block: undefined, kv: "auto", existing: "keep" },
  {
    catalog: openCatalog({ folder: modelsFolder, builtIn: [] }),
    modelsFolder,
    clock: { now: () => performance.now(), wall: () => Date.now() },
    open: () => smallSource(),
    compile: ({ path }, { outDir }) => {
      writeFileSync(join(outDir, "model.onnx"), "half");
      process.stdout.write(`${path}\n`);
      return new Promise(() => setInterval(() => undefined, 1000));
    },
    onProgress: () => undefined,
  },
);
