/** Whether the model that is to be loaded at the start is there: said before anything is loaded, with those that are. */
import { openCatalog } from "../../models/catalog.ts";
import { isModelName } from "../../models/model-name.ts";
import type { Inspection, Problem } from "../config.ts";
import { ownCommand } from "../own-command.ts";
import { RESIDENT_NAME } from "./built-in.ts";

/** So many names fit into a message. */
const NAMES_MAX = 8;

/** One problem where `models.default` names a model that is not installed or is damaged, else none. */
export function defaultModelProblems({ config, origins }: Inspection): readonly Problem[] {
  const { default: wanted, aliases, resident } = config.models;
  if (wanted === undefined) return [];
  const name = new Map(Object.entries(aliases)).get(wanted) ?? wanted;
  if (resident && name === RESIDENT_NAME) return [];
  const installed = openCatalog({ folder: config.modelsFolder, builtIn: [] }).list();
  const found = installed.find((entry) => entry.name === name);
  if (found?.state === "usable") return [];
  const usable = installed.filter(({ state }) => state === "usable").map((entry) => entry.name);
  const why = found === undefined ? "no model of this name is installed" : `it is damaged: ${found.why}`;
  const origin = origins.get("models.default");
  const flags = `--name ${isModelName(name) ? name : "NAME"}${found === undefined ? "" : " --force"}`;
  return [
    {
      path: "models.default",
      where:
        origin === undefined || origin.kind === "file"
          ? (origin?.name ?? "")
          : `${origin.kind} ${origin.name}`,
      message:
        `is ${wanted}${name === wanted ? "" : `, which stands for ${name}`}, but ${why}. ` +
        `${choices([...(resident ? [RESIDENT_NAME] : []), ...usable])} ` +
        `Install one with \`${ownCommand()} models import FILE ${flags}\``,
    },
  ];
}

function choices(names: readonly string[]): string {
  if (names.length === 0) return "None is installed.";
  const more = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : "";
  return `Set it to one that is there (${names.slice(0, NAMES_MAX).join(", ")}${more}), or leave it out for the first.`;
}
