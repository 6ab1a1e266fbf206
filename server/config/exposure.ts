/** Whether other machines can reach the server, and whether that is allowed: without keys it is not. */
import type { Config, Problem } from "../config.ts";
import { parseKeysFile } from "../keys/keys-file.ts";
import { parseStore, storeFile } from "../keys/store.ts";
import { readWhole } from "../keys/watched-file.ts";
import { ownCommand } from "../own-command.ts";

export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^::ffff:/, "");
  return name === "localhost" || name === "::1" || /^127(\.\d{1,3}){3}$/.test(name);
}

/** Files that the keys are in; empty: there are none, and whoever reaches the port is the administrator. */
export function keySources({ home, keysFile }: Pick<Config, "home" | "keysFile">): readonly string[] {
  const store = readWhole(storeFile(home), parseStore);
  // One that cannot be read may hold keys.
  const stored = store.kind === "broken" || (store.kind === "read" && store.value.length > 0);
  return [...(stored ? [storeFile(home)] : []), ...(keysFile === undefined ? [] : [keysFile])];
}

/** Reasons not to start for the sake of keys, although the settings are valid by themselves. */
export function keyProblems(config: Config): readonly Problem[] {
  const { host } = config.server;
  const store = storeFile(config.home);
  const reading = readWhole(store, parseStore);
  const problems = [
    ...(reading.kind === "broken" ? [{ path: "", where: store, message: reading.why }] : []),
    ...(config.keysFile === undefined ? [] : keysFileProblems(config.keysFile)),
  ];
  if (problems.length > 0 || isLoopback(host) || keySources(config).length > 0) return problems;
  return [noKeys(host)];
}

/** Why a server that other machines reach does not start. */
export const noKeys = (host: string): Problem => ({
  path: "server.host",
  where: "",
  message:
    `is ${host}, which other machines may reach, but there are no API keys. ` +
    `Make one with \`${ownCommand("captured")} keys create --name NAME\` and start again, or listen on 127.0.0.1`,
});

function keysFileProblems(path: string): readonly Problem[] {
  const problem = (message: string): readonly Problem[] => [{ path: "keys_file", where: path, message }];
  const how = `add a line with \`${ownCommand("captured")} keys hash >> FILE\``;
  const reading = readWhole(path, parseKeysFile);
  switch (reading.kind) {
    case "absent":
      return problem(`does not exist; ${how}`);
    case "broken":
      return problem(reading.why);
    case "read":
      return reading.value.length > 0 ? [] : problem(`holds no key; ${how}`);
  }
}
