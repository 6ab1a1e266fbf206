/**
 * The policy in force. A new one takes its place at once and whole, after it was read, checked and its own probes passed;
 * a file that is bad, gone or misses a probe changes nothing, and the log says why, once for each change of the file.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import { FILE_BYTES_MAX, formatProblem, type YamlProblem } from "../checked-yaml.ts";
import { BUILT_IN_POLICY } from "./built-in.ts";
import { type LoadedPolicy, PolicyError, parsePolicy } from "./policy-file.ts";
import { type Explain, missProblem, runProbes } from "./probes.ts";

export interface PolicyLog {
  info(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface PolicyStoreOptions {
  /** Absolute; undefined: the policy that comes with weir, which never changes. */
  readonly file: string | undefined;
  readonly explain: Explain;
  readonly log: PolicyLog;
}

export type ReloadResult =
  | { readonly kind: "loaded"; readonly policy: string }
  /** The file says what is in force already. */
  | { readonly kind: "unchanged"; readonly policy: string }
  /** `policy` stays in force. */
  | { readonly kind: "refused"; readonly policy: string; readonly problems: readonly YamlProblem[] };

/** How often the file is looked at, in ms. */
const LOOK_MS = 1000;
/** A file that changes while it is read is read again this many times. */
const READS_MAX = 5;

export class PolicyStore {
  readonly #options: PolicyStoreOptions;
  #current: LoadedPolicy;
  /** The last bytes that were looked into, or why there were none: each is judged once. */
  #judged: string;
  /** The file as it was before those bytes were read. */
  #seen: string;
  #running: Promise<unknown> = Promise.resolve();
  #waiting: Promise<ReloadResult> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(options: PolicyStoreOptions, first: Found, current: LoadedPolicy) {
    this.#options = options;
    this.#current = current;
    this.#judged = first.digest;
    this.#seen = first.seen;
  }

  /** Rejects with PolicyError where the file is bad or missing, or one of its probes misses: then nothing may start. */
  static async open(options: PolicyStoreOptions): Promise<PolicyStore> {
    if (options.file === undefined) {
      return new PolicyStore(options, { digest: "", seen: "", text: "" }, BUILT_IN_POLICY);
    }
    const found = await look(options.file);
    const loaded = await checked(found, options.file, options.explain);
    options.log.info({ policy: loaded.policy.hash }, "the policy is in force");
    return new PolicyStore(options, found, loaded);
  }

  get current(): LoadedPolicy {
    return this.#current;
  }

  /** Reads the file again, as on SIGHUP. It never rejects: what came of it is in the log and in the result. */
  reload(): Promise<ReloadResult> {
    // A load that runs already may have read the file before it was changed, so another one follows it.
    this.#waiting ??= this.#enqueue(true);
    return this.#waiting;
  }

  /**
   * Looks at the file from now on and loads it when it has changed. It is looked at by its name, so that a file put in its
   * place, or behind a symbolic link on the way to it, is seen. `everyMs`: the time between two looks, in ms.
   */
  watch(everyMs = LOOK_MS): void {
    const { file } = this.#options;
    if (file === undefined || this.#timer !== undefined || this.#closed) return;
    let unsettled = "";
    let looking = false;
    const see = async (): Promise<void> => {
      const now = await fingerprint(file);
      // Half a file may be a valid policy of fewer rules: what changed must have stayed the same for one look.
      const settled = now === unsettled;
      unsettled = now;
      if (now === this.#seen || !settled || this.#closed) return;
      await this.#enqueue(false);
    };
    this.#timer = setInterval(() => {
      if (looking) return;
      looking = true;
      void see().finally(() => {
        looking = false;
      });
    }, everyMs);
    this.#timer.unref();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  /** One load at a time. */
  #enqueue(asked: boolean): Promise<ReloadResult> {
    const load = this.#running.then(() => {
      if (asked) this.#waiting = undefined;
      return this.#load(asked);
    });
    this.#running = load;
    return load;
  }

  /** `asked`: somebody waits for an answer, also where there is nothing new to say. */
  async #load(asked: boolean): Promise<ReloadResult> {
    const { file, explain, log } = this.#options;
    const before = this.#current.policy.hash;
    if (file === undefined) return { kind: "unchanged", policy: before };
    const found = await look(file);
    const isNew = found.digest !== this.#judged;
    this.#judged = found.digest;
    this.#seen = found.seen;
    try {
      const loaded = await checked(found, file, explain);
      if (this.#closed) return { kind: "unchanged", policy: before };
      this.#current = loaded;
      const policy = loaded.policy.hash;
      if (policy !== before) {
        log.info({ policy, before }, "the policy was read again; the new one is in force");
        return { kind: "loaded", policy };
      }
      if (asked || isNew) log.info({ policy }, "the policy was read again; its rules are the same");
      return { kind: "unchanged", policy };
    } catch (error) {
      const problems = problemsOf(error, file);
      if (asked || isNew)
        log.error(
          { policy: before, problems: problems.map(formatProblem) },
          "the policy file is refused; the policy before it stays in force",
        );
      return { kind: "refused", policy: before, problems };
    }
  }
}

/** A mistake of weir's own must not end the process, nor show what it was about. */
function problemsOf(error: unknown, file: string): readonly YamlProblem[] {
  if (error instanceof PolicyError) return error.problems;
  return [
    { where: file, path: "", message: "could not be judged: weir failed on it, which is not expected" },
  ];
}

interface Found {
  /** Of the bytes; where there are none, why. */
  readonly digest: string;
  /** The file's fingerprint before it was read. */
  readonly seen: string;
  /** Undefined where it could not be read. */
  readonly text: string | undefined;
}

/** A policy whose probes pass. Throws PolicyError. */
async function checked({ text, digest }: Found, file: string, explain: Explain): Promise<LoadedPolicy> {
  if (text === undefined) throw new PolicyError([{ where: file, path: "", message: digest }]);
  const loaded = parsePolicy(text, file);
  const misses = await runProbes(loaded, explain);
  if (misses.length > 0) throw new PolicyError(misses.map(missProblem));
  return loaded;
}

async function look(file: string): Promise<Found> {
  const seen = await fingerprint(file);
  try {
    const text = await readPolicyFile(file);
    return { seen, text, digest: createHash("sha256").update(text).digest("hex") };
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return { seen, text: undefined, digest: error.problems.map(({ message }) => message).join("; ") };
  }
}

/** Which file it is and when it was changed, through symbolic links; a code where it cannot be looked at. */
async function fingerprint(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(":");
  } catch (error) {
    return codeOf(error);
  }
}

/** The text of a policy file, as it stood at one moment. Throws PolicyError. */
export async function readPolicyFile(file: string): Promise<string> {
  const refused = (message: string): PolicyError => new PolicyError([{ where: file, path: "", message }]);
  let bytes: Buffer | undefined;
  try {
    bytes = await wholeFile(file, refused);
  } catch (error) {
    if (error instanceof PolicyError) throw error;
    throw refused(`cannot be read (${codeOf(error)}): see that it is there and that weir may read it`);
  }
  if (bytes === undefined) throw refused("changes while it is read; put the finished file in its place");
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw refused("is not UTF-8 text");
  }
}

/** Undefined where it does not hold still. */
async function wholeFile(
  file: string,
  refused: (message: string) => PolicyError,
): Promise<Buffer | undefined> {
  for (let reads = 0; reads < READS_MAX; reads += 1) {
    // Opening a pipe would wait for somebody to write into it.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const before = await handle.stat({ bigint: true });
      if (!before.isFile()) throw refused("is not a file");
      if (before.size > FILE_BYTES_MAX) throw refused(`is larger than ${FILE_BYTES_MAX} bytes`);
      const bytes = await handle.readFile();
      const after = await handle.stat({ bigint: true });
      if (after.mtimeNs === before.mtimeNs && BigInt(bytes.length) === after.size) return bytes;
    } finally {
      await handle.close();
    }
  }
  return undefined;
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? "unreadable";
