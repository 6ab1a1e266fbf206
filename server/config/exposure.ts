/** Whether other machines can reach the server, and whether that is allowed: without keys it is not. */
import { readFileSync, statSync } from "node:fs";
import type { Config, Problem } from "../config.ts";
import { parseKeysFile } from "../keys.ts";

const KEYS_FILE_BYTES_MAX = 16 * 1024 * 1024;

export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^::ffff:/, "");
  return name === "localhost" || name === "::1" || /^127(\.\d{1,3}){3}$/.test(name);
}

/** Reasons not to start although the settings are valid by themselves. */
export function startProblems(config: Config): readonly Problem[] {
  const { host } = config.server;
  if (config.keysFile !== undefined) return keysFileProblems(config.keysFile);
  if (isLoopback(host)) return [];
  const message =
    `is ${host}, which other machines may reach, but there are no API keys. ` +
    "Make one with `weir keys hash >> keys.txt` and start with WEIR_API_KEYS_FILE=keys.txt " +
    "(or keys_file in weir.yaml), or listen on 127.0.0.1";
  return [{ path: "server.host", where: "", message }];
}

function keysFileProblems(path: string): readonly Problem[] {
  const problem = (message: string): readonly Problem[] => [{ path: "keys_file", where: path, message }];
  const how = "add a line with `weir keys hash >> FILE`";
  try {
    const stats = statSync(path);
    if (!stats.isFile()) return problem("is not a file");
    if (stats.size > KEYS_FILE_BYTES_MAX)
      return problem(`has ${stats.size} bytes; ${KEYS_FILE_BYTES_MAX} are allowed`);
    const keys = parseKeysFile(readFileSync(path, "utf8"));
    return keys.length > 0 ? [] : problem(`holds no key; ${how}`);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    return problem(missing ? `does not exist; ${how}` : (error as Error).message);
  }
}
