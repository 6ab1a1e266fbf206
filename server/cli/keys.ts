/** `weir keys create | list | revoke`: the store of keys under WEIR_HOME. */
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { z } from "zod";
import type { Clock } from "../../engine/core/clock.ts";
import { DATA_CLASSES } from "../../engine/core/data-class.ts";
import { takeLock } from "../../models/lock.ts";
import { ModelError } from "../../models/model-error.ts";
import { inspectConfig } from "../config.ts";
import { hashOf, idOf, newKey } from "../keys/hash.ts";
import {
  lockOf,
  makeHome,
  readStore,
  type StoredKey,
  StoredKeySchema,
  storeFile,
  withKey,
  withRevoked,
  writeStore,
} from "../keys/store.ts";
import { ownCommand } from "../own-command.ts";
import { SCOPES } from "../ports.ts";
import { CommandFailure, type ExitCode } from "./failure.ts";
import { table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

/** Another command's change takes some milliseconds. */
const LOCK_WAIT_MS_MAX = 5000;
const LOCK_RETRY_MS = 25;

export interface CreateFlags {
  readonly name: string;
  readonly team?: string;
  readonly policy?: string;
  readonly classFloor?: string;
  readonly models?: string;
  readonly scopes: string;
  readonly requestsPerMinute?: string;
  readonly tokensPerMinute?: string;
}

const HOW_TO_CREATE = `\`${ownCommand("captured")} keys create --name NAME\``;

interface KeyPorts {
  readonly clock: Clock;
  readonly terminal: Terminal;
}

/** The key alone on standard output, so that `KEY=$(weir keys create ...)` works. */
export async function createKey(flags: CreateFlags, { clock, terminal }: KeyPorts): Promise<ExitCode> {
  const wanted = checked(flags);
  const { home, keysFile } = inspectConfig().config;
  const file = storeFile(home);
  const key = newKey();
  const id = idOf(key) ?? "";
  const made = { ...wanted, id, hash: await hashOf(key), created_at: now(clock), revoked_at: null };
  const before = await changeStore(file, clock, (keys) => withKey(keys, made));
  terminal.out(key);
  terminal.err(`Key ${made.name} (${id}), scopes ${made.scopes.join(", ")}. It is shown this once.`);
  terminal.err("Clients send it as `Authorization: Bearer KEY`.");
  if (before.length === 0 && keysFile === undefined) {
    terminal.err(
      "This is the first key: a server that runs without keys goes on without them until it is restarted.",
    );
  }
  return 0;
}

export function listKeys(asJson: boolean, terminal: Terminal): ExitCode {
  const { home, keysFile } = inspectConfig().config;
  const shown = readStore(storeFile(home)).map(({ hash: _, ...key }) => key);
  if (asJson) terminal.out(JSON.stringify(shown, undefined, 2));
  else if (shown.length === 0) terminal.err(`No key was created yet. ${HOW_TO_CREATE} makes one.`);
  else for (const line of table([HEAD, ...shown.map(row)])) terminal.out(line);
  if (keysFile !== undefined) terminal.err(`Besides, keys with all rights are on the lines of ${keysFile}.`);
  return 0;
}

export async function revokeKey(wanted: string, { clock, terminal }: KeyPorts): Promise<ExitCode> {
  const { home, keysFile } = inspectConfig().config;
  const file = storeFile(home);
  let gone: StoredKey | undefined;
  let left = 0;
  await changeStore(file, clock, (before) => {
    const { keys, revoked } = withRevoked(before, wanted, now(clock));
    gone = revoked;
    left = keys.filter(({ revoked_at }) => revoked_at === null).length;
    return keys;
  });
  terminal.out(`Revoked ${gone?.name} (${gone?.id}); a running server refuses it within two seconds.`);
  if (left === 0 && keysFile === undefined)
    terminal.err(`No key is left: nobody gets in before ${HOW_TO_CREATE} makes another one.`);
  return 0;
}

/** Returns the keys before the change. */
async function changeStore(
  file: string,
  clock: Clock,
  change: (keys: readonly StoredKey[]) => readonly StoredKey[],
): Promise<readonly StoredKey[]> {
  makeHome(file);
  const lock = lockOf(file);
  await waitForLock(lock, clock);
  try {
    const before = readStore(file);
    writeStore(file, change(before));
    return before;
  } finally {
    rmSync(lock, { force: true });
  }
}

async function waitForLock(lock: string, clock: Clock): Promise<void> {
  const deadline = clock.now() + LOCK_WAIT_MS_MAX;
  for (;;) {
    try {
      takeLock(lock, "the API keys", clock);
      return;
    } catch (error) {
      if (!(error instanceof ModelError) || clock.now() > deadline) throw error;
      await sleep(LOCK_RETRY_MS);
    }
  }
}

const now = (clock: Clock): string => new Date(clock.wall()).toISOString();

const OPTIONS = {
  name: "--name",
  team: "--team",
  policy: "--policy",
  class_floor: "--class-floor",
  models: "--models",
  scopes: "--scopes",
  requests_per_minute: "--requests-per-minute",
  tokens_per_minute: "--tokens-per-minute",
} as const;

const WantedSchema = StoredKeySchema.pick({
  name: true,
  team: true,
  policy: true,
  class_floor: true,
  models: true,
  scopes: true,
  requests_per_minute: true,
  tokens_per_minute: true,
});

/** Throws CommandFailure with every option that is at fault. */
function checked(flags: CreateFlags): z.infer<typeof WantedSchema> {
  const { data, error } = WantedSchema.safeParse({
    name: flags.name,
    team: flags.team ?? null,
    policy: flags.policy ?? null,
    class_floor: flags.classFloor ?? "public",
    models: listOf(flags.models),
    scopes: listOf(flags.scopes),
    requests_per_minute: countOf(flags.requestsPerMinute),
    tokens_per_minute: countOf(flags.tokensPerMinute),
  });
  if (data !== undefined) return data;
  const problems = error.issues.map(({ path, message }) => {
    const option = String(path[0]) as keyof typeof OPTIONS;
    return `${OPTIONS[option]} ${meaning(option, message)}`;
  });
  throw new CommandFailure(2, [...new Set(problems)].join("\n"));
}

function meaning(option: keyof typeof OPTIONS, message: string): string {
  if (option === "class_floor") return `must be one of ${DATA_CLASSES.join(", ")}.`;
  if (option === "scopes") return `must be one or more of ${SCOPES.join(", ")}, with commas between them.`;
  return `${message}.`;
}

/** Without repetition. An empty part stays, so that the check complains of it. */
const listOf = (text: string | undefined): readonly string[] =>
  text === undefined ? [] : [...new Set(text.split(",").map((part) => part.trim()))];

/** What is no number stays as it is, so that the check complains of it. */
const countOf = (text: string | undefined): unknown =>
  text === undefined ? null : /^\d{1,15}$/.test(text.trim()) ? Number(text) : text;

const HEAD = ["ID", "NAME", "TEAM", "SCOPES", "POLICY", "FLOOR", "MODELS", "LIMITS A MINUTE", "CREATED", ""];

function row(key: Omit<StoredKey, "hash">): readonly string[] {
  const limits = [
    ...(key.requests_per_minute === null ? [] : [`${key.requests_per_minute} requests`]),
    ...(key.tokens_per_minute === null ? [] : [`${key.tokens_per_minute} tokens`]),
  ];
  return [
    key.id,
    key.name,
    key.team ?? "-",
    key.scopes.join(","),
    key.policy ?? "-",
    key.class_floor,
    key.models.length === 0 ? "all" : key.models.join(","),
    limits.length === 0 ? "-" : limits.join(", "),
    key.created_at.slice(0, 10),
    key.revoked_at === null ? "" : `revoked ${key.revoked_at.slice(0, 10)}`,
  ];
}
