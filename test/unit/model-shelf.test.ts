import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FastifyBaseLogger } from "fastify";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NO_LANE_METER } from "../../engine/core/lane-meter.ts";
import { type Catalog, type CatalogEntry, openCatalog } from "../../models/catalog.ts";
import { Manifest } from "../../models/manifest.ts";
import { folderOfName } from "../../models/model-name.ts";
import { loadConfig } from "../../server/config.ts";
import { ModelShelf } from "../../server/model-shelf.ts";
import { writeSmallModel } from "../support/small-model.ts";

const GEOMETRY = { layers: 1, hidden: 8, heads: 2, kvHeads: 1, headDim: 4, vocabSize: 32 };

let home: string;
let models: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "weir-shelf-"));
  models = join(home, "models");
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const install = (name: string, changes: Partial<Manifest> = {}): Manifest =>
  writeSmallModel(join(models, folderOfName(name)), name, changes);

/** A shelf over the installed models, and the names of the models in its lines of log. */
function openShelf(catalog: Catalog = openCatalog({ folder: models, builtIn: [] })) {
  const logged: unknown[] = [];
  const error = (facts: { readonly model: string }): void => void logged.push(facts.model);
  let now = 0;
  const shelf = new ModelShelf({
    laneMeter: () => NO_LANE_METER,
    config: loadConfig({ env: { WEIR_HOME: home, WEIR_ENGINE_LANES: "1" }, cwd: home }),
    catalog,
    // Each look is long after the one before, so that the folders are read anew.
    clock: {
      now: () => {
        now += 60_000;
        return now;
      },
      wall: () => 0,
    },
    log: { error } as unknown as FastifyBaseLogger,
  });
  return { shelf, logged };
}

const namesOf = (shelf: ModelShelf): readonly string[] => shelf.entries().map(({ card }) => card.name);

test("a manifest with a context of one token is broken, and says which key", () => {
  const manifest = install("short", { contextLength: 1 });
  install("whole");
  const [entry] = openCatalog({ folder: models, builtIn: [] }).list();
  expect(entry).toMatchObject({ state: "broken", why: expect.stringContaining("contextLength") });
  expect(Manifest.safeParse({ ...manifest, contextLength: 2 }).success).toBe(true);
  expect(namesOf(openShelf().shelf)).toEqual(["whole"]);
});

test("a model whose limits cannot be built is left out and logged once; the others are served", () => {
  install("short");
  install("whole");
  const installed = openCatalog({ folder: models, builtIn: [] });
  const shortened = (entry: CatalogEntry): CatalogEntry =>
    entry.state === "usable" && entry.name === "short"
      ? { ...entry, manifest: { ...entry.manifest, contextLength: 1 } }
      : entry;
  const { shelf, logged } = openShelf({ ...installed, list: () => installed.list().map(shortened) });
  expect([namesOf(shelf), namesOf(shelf)]).toEqual([["whole"], ["whole"]]);
  expect(logged).toEqual(["short"]);
});

test("logits count as the buffers of runs apart and of shared runs do", () => {
  install("small", { geometry: { ...GEOMETRY, vocabSize: 1000 } });
  install("large", { geometry: { ...GEOMETRY, vocabSize: 2000 } });
  const [large, small] = openShelf()
    .shelf.entries()
    .map((entry) => entry.residentBytes);
  // 16 rows by default and one slot more, filled up to a multiple of 4; 32 scored rows of a chunk.
  expect(loadConfig({ env: { WEIR_HOME: home }, cwd: home }).engine.rowsMax).toBe(16);
  expect((large ?? 0) - (small ?? 0)).toBe(4 * 1000 * (32 + 2 * 20 + 32));
});

test("a second graph for shared steps counts as a third copy of the weights", () => {
  const { files } = install("shared");
  const [first] = files;
  if (first === undefined) throw new Error("the small model has files");
  const residentOf = (): number => openShelf().shelf.entries()[0]?.residentBytes ?? 0;
  const before = residentOf();
  writeFileSync(join(models, folderOfName("shared"), "model.shared.onnx"), "");
  install("shared", { files: [...files, { ...first, name: "model.shared.onnx", bytes: 0 }] });
  expect(residentOf() - before).toBe(files.reduce((sum, { bytes }) => sum + bytes, 0));
});
