#!/usr/bin/env node
/**
 * The installed command `weir`. Plain JavaScript, because a bin's shebang finds the host's Node, which may be as old as
 * 20: it hands over to the Node that came with the packages, with the same arguments, signals and exit code.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const MAJOR_MIN = 24;

const here = dirname(fileURLToPath(import.meta.url));
const node = bundledNode() ?? ownNode();
if (node === undefined) {
  console.error(
    `weir: Node ${MAJOR_MIN} is needed, this is ${process.version}, and the copy among the packages is missing. ` +
      `Install weir again with its scripts allowed (\`npm ci\`), or run it with Node ${MAJOR_MIN}.`,
  );
  process.exitCode = 1;
} else {
  handOver(node, [...typeStripping(), join(here, "..", "main.ts"), ...process.argv.slice(2)]);
}

function bundledNode() {
  try {
    const folder = dirname(createRequire(import.meta.url).resolve("node/package.json"));
    const binary = join(folder, "bin", process.platform === "win32" ? "node.exe" : "node");
    return existsSync(binary) ? binary : undefined;
  } catch {
    return undefined;
  }
}

function ownNode() {
  return Number(process.versions.node.split(".")[0]) >= MAJOR_MIN ? process.execPath : undefined;
}

/** Node strips no types below node_modules, which is where a global install puts weir: a hook does it there. */
function typeStripping() {
  if (!here.includes(`${sep}node_modules${sep}`)) return [];
  return [
    "--disable-warning=ExperimentalWarning",
    "--import",
    new URL("strip-types.js", import.meta.url).href,
  ];
}

function handOver(file, args) {
  // Where the system can replace this process by the other, nothing stays in between.
  if (typeof process.execve === "function" && process.platform !== "win32") {
    process.execve(file, [file, ...args]);
  }
  const child = spawn(file, args, { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    console.error(`weir: ${file} could not be started: ${error.message}`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
  });
}
