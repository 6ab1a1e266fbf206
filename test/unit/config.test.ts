import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { inspect } from "node:util";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { checkLaneLimits } from "../../engine/core/limits.ts";
import { backendSchema } from "../../server/config/backend.ts";
import { isLoopback, keyProblems, keySources } from "../../server/config/exposure.ts";
import { gatewayOptions } from "../../server/config/gateway-options.ts";
import { laneLimits } from "../../server/config/lane-limits.ts";
import { LEAVES } from "../../server/config/leaves.ts";
import { valueAt } from "../../server/config/problems.ts";
import {
  ConfigError,
  type ConfigInput,
  type Environment,
  formatProblem,
  inspectConfig,
  loadConfig,
} from "../../server/config.ts";
import { hashKey } from "../../server/keys/keys-file.ts";
import { storeFile, writeStore } from "../../server/keys/store.ts";
import { revoked, storedKey } from "../support/stored-keys.ts";

const machine = { cores: 8, memoryBytes: 16 * 2 ** 30 };

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "weir-config-"));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

const write = (name: string, text: string): string => {
  const path = join(cwd, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, text);
  return path;
};

/** Nothing of this machine's own environment gets in. */
const input = (env: Environment = {}, more: Partial<ConfigInput> = {}): ConfigInput => ({
  env: { WEIR_HOME: join(cwd, "home"), ...env },
  cwd,
  machine,
  ...more,
});
const load = (env: Environment = {}, more: Partial<ConfigInput> = {}) => loadConfig(input(env, more));
const problems = (text: string, env: Environment = {}): readonly string[] => {
  write("weir.yaml", text);
  return inspectConfig(input(env)).problems.map((problem) => formatProblem(problem).replace(`${cwd}/`, ""));
};

describe("where a setting comes from", () => {
  test("without anything the defaults hold, with auto resolved from the machine", () => {
    const config = load();
    expect(config.server).toMatchObject({ host: "127.0.0.1", port: 8080 });
    expect(config.engine.threads).toBe(8);
    expect(config.models).toEqual({ resident: true, memoryBudgetBytes: 8 * 2 ** 30, aliases: {} });
    expect(load({ WEIR_ENGINE_LANES: "3" }).engine.threads).toBe(2);
    expect(load({ WEIR_ENGINE_LANES: "64" }).engine.threads).toBe(1);
  });

  test("flag beats environment beats file beats default, and the origin is told", () => {
    write("weir.yaml", "server:\n  port: 1\n  drain_ms: 7\nengine:\n  rows_max: 3\n");
    const env = { PORT: "2", WEIR_ENGINE_ROWS_MAX: "4" };
    const flags = [{ path: "server.port", text: "3", flag: "--port" }];
    const { config, origins } = inspectConfig(input(env, { flags }));
    expect(config.server.port).toBe(3);
    expect(config.engine.rowsMax).toBe(4);
    expect(config.server.drainMs).toBe(7);
    expect(
      ["server.port", "engine.rows_max", "server.drain_ms", "log.level"].map((path) => origins.get(path)),
    ).toEqual([
      { kind: "flag", name: "--port" },
      { kind: "environment", name: "WEIR_ENGINE_ROWS_MAX" },
      { kind: "file", name: `${join(cwd, "weir.yaml")}:3` },
      { kind: "default", name: "" },
    ]);
  });

  test("the file is the named one, else ./weir.yaml, else the one under WEIR_HOME", () => {
    write("home/weir.yaml", "server: {port: 1}");
    expect(load().server.port).toBe(1);
    write("weir.yaml", "server: {port: 2}");
    expect(load().server.port).toBe(2);
    write("named.yaml", "server: {port: 3}");
    expect(load({ WEIR_CONFIG: "named.yaml" }).server.port).toBe(3);
    write("flag.yaml", "server: {port: 4}");
    expect(load({ WEIR_CONFIG: "named.yaml" }, { file: "flag.yaml" }).server.port).toBe(4);
  });

  test("a named file must exist, the others need not", () => {
    expect(() => load({ WEIR_CONFIG: "nowhere.yaml" })).toThrow("there is no such file");
    expect(load().file).toBeUndefined();
  });

  test("WEIR_HOME defaults to the XDG data folder, relative ones ignored", () => {
    const home = (env: Environment) => loadConfig({ env, cwd, machine }).home;
    expect(home({ XDG_DATA_HOME: "/data" })).toBe("/data/weir");
    expect(home({ XDG_DATA_HOME: "data" })).toBe(join(homedir(), ".local/share/weir"));
    expect(home({})).toBe(join(homedir(), ".local/share/weir"));
    expect(home({ WEIR_HOME: "here" })).toBe(join(cwd, "here"));
  });

  test("an empty variable counts as not set", () => {
    expect(load({ PORT: "", HOST: "", WEIR_CONFIG: "", HF_TOKEN: "" })).toMatchObject({
      server: { port: 8080 },
      hubToken: undefined,
    });
  });

  test("a policy file is relative to the file that names it", () => {
    write("home/weir.yaml", "routing:\n  policy_file: policy.yaml");
    expect(load().routing.policyFile).toBe(join(cwd, "home", "policy.yaml"));
  });

  test("a keys file is relative to the file that names it, or to the working folder", () => {
    write("home/weir.yaml", "keys_file: keys.txt");
    expect(load().keysFile).toBe(join(cwd, "home", "keys.txt"));
    expect(load({ WEIR_API_KEYS_FILE: "k.txt" }).keysFile).toBe(join(cwd, "k.txt"));
  });

  test("every setting but the map can be set by its variable and by a flag", () => {
    const samples: Readonly<Record<string, string>> = {
      "server.host": "::1",
      "engine.device": "cpu",
      "engine.kv": "int8",
      "models.default": "m",
      "hub.endpoint": "http://hub:1",
      "log.level": "debug",
      keys_file: "/k",
      "routing.policy_file": "/p",
    };
    for (const { path, env, defaultValue } of LEAVES.filter((leaf) => !leaf.isMap)) {
      const text = samples[path] ?? (typeof defaultValue === "number" ? String(defaultValue) : "1048576");
      const value = path in samples ? samples[path] : Number(text);
      const special: Readonly<Record<string, string | number | boolean>> = {
        "engine.threads": 4,
        "models.resident": false,
      };
      const wanted = special[path] ?? value;
      const fits = path in special ? String(wanted) : text;
      expect(env, path).toBeDefined();
      for (const by of [{ [env ?? ""]: fits }, {}]) {
        const flags = env !== undefined && env in by ? [] : [{ path, text: fits, flag: "--set" }];
        const { settings, origins, problems: wrong } = inspectConfig(input(by, { flags }));
        expect(wrong, path).toEqual([]);
        expect(valueAt(settings, path), path).toBe(wanted);
        expect(origins.get(path)?.kind).toBe(flags.length === 0 ? "environment" : "flag");
      }
    }
  });
});

describe("what is wrong is said, all of it, with its line", () => {
  test("unknown keys name the nearest known one", () => {
    expect(problems("server:\n  prot: 80\n  hostt: x\n  rows_max: 1\nengin:\n  lanes: 1\nzzz: 1\n")).toEqual([
      "weir.yaml:2: server.prot: is not a setting of weir; did you mean port?",
      "weir.yaml:3: server.hostt: is not a setting of weir; did you mean host?",
      "weir.yaml:4: server.rows_max: is not a setting of weir here; did you mean engine.rows_max?",
      "weir.yaml:5: engin: is not a setting of weir; did you mean engine?",
      "weir.yaml:7: zzz: is not a setting of weir; the file may hold server, engine, models, backends, routing, receipts, hub, supervisor, log, keys_file",
    ]);
  });

  test("each problem of a backend is named by its place, and a secret in the wrong place is not repeated", () => {
    const text = `backends:
  azure:
    zone: cloud
    kind: openai
    url: http://x.example/v1
    secret: sk-live-1234567890
    models: []
    colour: red
  local: {zone: onprem, kind: openai, url: "http://10.0.0.1:8000/v1", models: [a]}
  claude: {zone: cloud, kind: anthropic, url: "https://a.example", models: [a], default_model: b, extras: true}
`;
    const found = problems(text);
    expect(found).toEqual([
      "weir.yaml:5: backends.azure.url: must be https for a cloud backend (or plaintext: true, for tests)",
      "weir.yaml:6: backends.azure.secret: must be a reference, env:NAME or file:PATH; never the secret itself",
      "weir.yaml:7: backends.azure.models: must name at least one model",
      "weir.yaml:8: backends.azure.colour: is not a setting of weir here",
      "weir.yaml:9: backends.local: must not be local or auto, which mean something else",
      "weir.yaml:10: backends.claude.default_model: must be one of the backend's models",
      "weir.yaml:10: backends.claude.extras: is for backends of kind openai",
    ]);
    expect(found.join()).not.toContain("sk-live");
  });

  test("wrong values say what is accepted and what was found, wherever they come from", () => {
    const text =
      "server:\n  port: eighty\nengine:\n  rows_max: 0\n  lanes: 1.5\n  kv: f16\nhub:\n  endpoint: ftp://x\nlog: loud\n";
    expect(problems(text, { PORT: "99999", WEIR_ENGINE_THREADS: "many" })).toEqual([
      'weir.yaml:2: server.port: must be a whole number from 0 to 65535; it is "eighty"',
      "weir.yaml:4: engine.rows_max: must be a whole number from 1 to 1024; it is 0",
      "weir.yaml:5: engine.lanes: must be a whole number from 1 to 64; it is 1.5",
      'weir.yaml:6: engine.kv: must be one of auto, f32, int8; it is "f16"',
      'weir.yaml:8: hub.endpoint: must be an http or https address without query, such as https://huggingface.co; it is "ftp://x"',
      "weir.yaml:9: log: this section must be a map of settings",
      "environment PORT: server.port: must be a whole number from 0 to 65535; it is 99999",
      'environment WEIR_ENGINE_THREADS: engine.threads: must be auto or a whole number from 1 to 256; it is "many"',
    ]);
  });

  test("a device that this build does not have is told from one that there is not", () => {
    expect(problems("engine:\n  device: webgpu\n", { WEIR_ENGINE_DEVICE: "cuda" })).toEqual([
      'weir.yaml:2: engine.device: must be cpu: webgpu is not in this build; it is "webgpu"',
      'environment WEIR_ENGINE_DEVICE: engine.device: must be cpu: cuda is not in this build; it is "cuda"',
    ]);
    expect(problems("engine:\n  device: tpu\n")).toEqual([
      'weir.yaml:2: engine.device: must be one of cpu; it is "tpu"',
    ]);
  });

  test("bounds that contradict each other name both settings", () => {
    expect(problems("engine:\n  rows_max: 900\n")).toEqual([
      "weir.yaml:2: engine.step_tokens_max: must be at least engine.rows_max, since each row needs a token per step; they are 512 and 900",
    ]);
    expect(problems("engine:\n  chunk_tokens_min: 300\n")[0]).toMatch(
      /chunk_tokens_max.*chunk_tokens_min.*256 and 300/,
    );
    expect(problems("engine:\n  chunk_tokens_max: 600\n")[0]).toMatch(
      /chunk_tokens_max.*step_tokens_max.*600 and 512/,
    );
    expect(problems("engine:\n  waiting_max: 5\n")[0]).toMatch(/generations_max.*waiting_max.*128 and 5/);
    expect(problems("server:\n  headers_timeout_ms: 70000\n")[0]).toMatch(
      /receive_timeout_ms.*60000 and 70000/,
    );
  });

  test("a contradiction with a setting that is wrong by itself is not reported twice", () => {
    expect(
      problems(
        "engine:\n  rows_max: 2000\n  step_tokens_max: 8\n  chunk_tokens_max: 8\n  chunk_tokens_min: 8\n",
      ),
    ).toHaveLength(1);
  });

  test("text that is no YAML, no map, too large or too clever is refused", () => {
    expect(problems("server: [1\n")[0]).toMatch(/^weir\.yaml:\d+: /);
    expect(problems("server:\n  port: 1\n  port: 2\n")[0]).toMatch(/^weir\.yaml:3: .*unique/);
    expect(problems("- 1\n")).toEqual(["weir.yaml: a configuration must be a map of settings"]);
    expect(problems("#".repeat(1024 * 1024 + 1))[0]).toMatch(/1048577 bytes/);
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${[..."bcdefghi"].map((name, index) => `${name}: &${name} [${Array(9).fill(`*${"abcdefgh"[index]}`)}]`).join("\n")}\n`;
    expect(problems(bomb)[0]).toMatch(/alias/i);
  });

  test("an empty file, an empty section and comments are fine; an empty value is not", () => {
    expect(problems("")).toEqual([]);
    expect(problems("# nothing\nserver:\nengine: {}\n")).toEqual([]);
    expect(problems("server:\n  port:\n")).toEqual([
      "weir.yaml:2: server.port: must be a whole number from 0 to 65535; it is null",
    ]);
  });

  test("flags with unknown keys and maps are refused", () => {
    const flags = [
      { path: "engine.row_max", text: "1", flag: "--set engine.row_max" },
      { path: "models.aliases", text: "a", flag: "--set models.aliases" },
    ];
    expect(inspectConfig(input({}, { flags })).problems.map(formatProblem)).toEqual([
      "flag --set engine.row_max: engine.row_max: is not a setting of weir; did you mean engine.rows_max?",
      "flag --set models.aliases: models.aliases: is a map and can only be set in the file",
    ]);
  });

  test("a slip in a variable is a warning, and Kubernetes' own variables are let be", () => {
    const { warnings, problems: wrong } = inspectConfig(
      input({
        WEIR_ENGINE_ROW_MAX: "1",
        WEIR_PORT: "tcp://10.0.0.1:80",
        WEIR_SERVICE_HOST: "10.0.0.1",
        WEIR_X: "1",
      }),
    );
    expect(wrong).toEqual([]);
    expect(warnings.map(formatProblem)).toEqual([
      "environment WEIR_ENGINE_ROW_MAX: is not read; did you mean WEIR_ENGINE_ROWS_MAX?",
    ]);
  });

  test("loadConfig throws all problems at once", () => {
    write("weir.yaml", "a: 1\nb: 2\n");
    expect(() => load()).toThrow(ConfigError);
    expect(() => load()).toThrow(/a: is not.*\n.*b: is not/);
  });

  test("whatever the file holds, reading it ends in settings or problems, never in another error", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.json(), fc.string({ unit: fc.constantFrom(..."ab:{}[]&*-!|>'\"\n #?%@`") })),
        (text) => {
          write("weir.yaml", text);
          const { problems: wrong, config } = inspectConfig(input());
          expect(Array.isArray(wrong) && config.server.port >= 0).toBe(true);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe("what comes out", () => {
  test("is frozen to the last leaf", () => {
    const config = load();
    expect(() => Object.assign(config.engine, { lanes: 9 })).toThrow(TypeError);
    expect(() => Object.assign(config.models.aliases, { a: "b" })).toThrow(TypeError);
  });

  test("keeps the user's own words in the map of aliases", () => {
    write("weir.yaml", "models:\n  aliases:\n    gpt_4o-mini: org/some_model\n");
    expect(load().models.aliases).toEqual({ "gpt_4o-mini": "org/some_model" });
  });

  test("never shows a secret", () => {
    const env = { HF_TOKEN: "hf_secret", HTTPS_PROXY: "http://user:hidden@proxy:1" };
    const config = load(env);
    expect(config.hubToken?.reveal()).toBe("hf_secret");
    for (const text of [JSON.stringify(config), inspect(config, { depth: 9 }), `${config.hubToken}`]) {
      expect(text).not.toMatch(/hf_secret|hidden/);
    }
    expect(() => load({ HF_ENDPOINT: "https://user:pass@hub" })).toThrow("must not hold a user name");
  });

  test("fits the scheduler and the HTTP edge", () => {
    const config = load();
    expect(laneLimits(config.engine, 1024)).toMatchObject({ slotTokens: 1024, rowsMax: 16 });
    expect(laneLimits(config.engine, 1_000_000).slotTokens).toBe(4096);
    expect(gatewayOptions(config, "1")).toMatchObject({
      device: "cpu",
      bodyBytesMax: 8 * 2 ** 20,
      choicesMax: 128,
    });
  });

  test("passes the scheduler's own check whenever the configuration has no problem", () => {
    const count = fc.integer({ min: 1, max: 600 });
    let accepted = 0;
    fc.assert(
      fc.property(count, count, count, count, (rows, step, chunk, least) => {
        const env = {
          WEIR_ENGINE_ROWS_MAX: String(rows),
          WEIR_ENGINE_STEP_TOKENS_MAX: String(step),
          WEIR_ENGINE_CHUNK_TOKENS_MAX: String(chunk),
          WEIR_ENGINE_CHUNK_TOKENS_MIN: String(least),
        };
        const { config, problems: wrong } = inspectConfig(input(env));
        const check = (): void => void laneLimits(config.engine, 64);
        if (wrong.length === 0) {
          accepted += 1;
          checkLaneLimits(laneLimits(config.engine, 64));
        } else {
          expect(check).toThrow();
        }
      }),
      { numRuns: 500 },
    );
    expect(accepted).toBeGreaterThan(10);
  });
});

describe("who may reach the server", () => {
  test("loopback is known in all its forms", () => {
    for (const host of ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST", "::ffff:127.0.0.1"]) {
      expect(isLoopback(host), host).toBe(true);
    }
    for (const host of [
      "0.0.0.0",
      "::",
      "10.0.0.1",
      "example.org",
      "127.0.0.1.evil.org",
      "localhost.evil.org",
    ]) {
      expect(isLoopback(host), host).toBe(false);
    }
  });

  test("without keys only loopback starts, and the way to a key is told", async () => {
    expect(keyProblems(load())).toEqual([]);
    const [problem] = keyProblems(load({ HOST: "0.0.0.0" }));
    expect(problem?.message).toMatch(/Make one with `npm run --silent weir -- keys create --name NAME`/);
    const keys = write("keys.txt", `# mine\n${await hashKey("a-key-of-some-length", "me")}\n`);
    expect(keyProblems(load({ HOST: "0.0.0.0", WEIR_API_KEYS_FILE: keys }))).toEqual([]);
  });

  test("a key in the store lets other addresses start, also where it is revoked; a broken store lets nothing start", () => {
    const store = storeFile(load().home);
    mkdirSync(dirname(store), { recursive: true });
    for (const [keys, problems] of [
      [[], 1],
      [[revoked(storedKey(1))], 0],
      [[storedKey(1)], 0],
    ] as const) {
      writeStore(store, keys);
      expect(keyProblems(load({ HOST: "0.0.0.0" }))).toHaveLength(problems);
      expect(keySources(load())).toEqual(keys.length === 0 ? [] : [store]);
    }
    writeFileSync(store, "{");
    for (const host of ["0.0.0.0", "127.0.0.1"]) {
      expect(keyProblems(load({ HOST: host }))).toEqual([
        { path: "", where: store, message: "is not valid JSON" },
      ]);
    }
  });

  test("a keys file that is absent, empty or holds a plain key is refused without showing it", () => {
    const why = (file: string) => keyProblems(load({ WEIR_API_KEYS_FILE: file }))[0]?.message;
    expect(why("nowhere")).toContain("does not exist");
    expect(why(write("empty", "\n# nobody\n"))).toContain("holds no key");
    const plain = why(write("plain", "weir-plain-secret\n"));
    expect(plain).toContain("line 1");
    expect(plain).not.toContain("secret");
    expect(why(cwd)).toContain("is not a file");
  });
});

describe("what is written about it", () => {
  const read = (path: string): string => readFileSync(join(import.meta.dirname, "../..", path), "utf8");
  const shown = (value: unknown): string =>
    value === undefined ? "not set" : typeof value === "object" ? JSON.stringify(value) : String(value);

  test("docs/configuration.md has a row for every setting: default, accepted values, variable, meaning", () => {
    const rows = read("docs/configuration.md").split("\n");
    const expected = LEAVES.map(({ path, defaultValue, domain, env, description }) => {
      const variable = env === undefined ? "-" : `\`${env}\``;
      return `| \`${path}\` | \`${shown(defaultValue)}\` | ${domain} | ${variable} | ${description} |`;
    });
    expect(rows.filter((row) => /^\| `[a-z_.]+` \|/.test(row))).toEqual(expected);
  });

  test("weir.example.yaml holds every setting with its default, and is valid", () => {
    const text = read("weir.example.yaml");
    expect(problems(text)).toEqual([]);
    const tree: unknown = parse(text);
    for (const { path, defaultValue } of LEAVES) {
      expect(valueAt(tree, path), path).toEqual(defaultValue);
      if (defaultValue === undefined) expect(text).toMatch(new RegExp(`# ${path.split(".").at(-1)}: `));
    }
  });

  test("docs/backends.md has a row for every field of a backend, with its default", () => {
    const rows = read("docs/backends.md").split("\n");
    const fields = Object.entries(backendSchema.shape).map(([name, schema]) => {
      const { defaultValue } = schema.def as { defaultValue?: unknown };
      return `| \`${name}\` | ${defaultValue === undefined ? "" : `\`${shown(defaultValue)}\``}`;
    });
    expect(fields.filter((field) => !rows.some((row) => row.startsWith(field)))).toEqual([]);
  });

  test("every setting has a sentence that says what it does", () => {
    for (const { path, description } of LEAVES) expect(description, path).toMatch(/^.{5,}[.]$/);
  });
});
