/**
 * The one schema of weir's configuration. Keys are written as in weir.yaml (snake_case, unit last); in the program they
 * are camelCase. A leaf's `description` is one sentence for the documentation, `env` the variable that overrides it.
 */
import { z } from "zod";
import { backendName, backendSchema } from "./backend.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

const whole = (least: number, most: number) => z.int().min(least).max(most);

/** For devices that the engine is made ready for, a word more than for a slip of the pen. */
const deviceProblem = (device: unknown): string | undefined =>
  device === "webgpu" || device === "cuda" ? `must be cpu: ${device} is not in this build` : undefined;

/** A host name or address that can be bound or called; brackets around IPv6 are taken off. */
const host = z
  .string()
  .trim()
  .transform((text) => text.replace(/^\[(.*)\]$/, "$1"))
  .pipe(
    z
      .string()
      .regex(/^[A-Za-z0-9:.%_-]{1,253}$/, "must be a host name or an IP address, without scheme and port"),
  );

const modelName = z.string().min(1).max(128);

const endpoint = z
  .string()
  .regex(
    /^https?:\/\/[^\s?#]+$/i,
    "must be an http or https address without query, such as https://huggingface.co",
  )
  .refine((text) => !text.includes("@"), "must not hold a user name or password; use HF_TOKEN")
  .refine((text) => URL.canParse(text), "must be a complete address")
  .transform((text) => text.replace(/\/+$/, ""));

export const SettingsSchema = z.strictObject({
  server: z
    .strictObject({
      host: host
        .default("127.0.0.1")
        .meta({ env: "HOST", description: "Address to listen on; anything but loopback needs API keys." }),
      port: whole(0, 65_535)
        .default(8080)
        .meta({ env: "PORT", description: "TCP port; 0 takes a free one." }),
      body_limit_bytes: whole(KIB, GIB)
        .default(8 * MIB)
        .meta({ description: "A larger request body is refused with 413." }),
      header_limit_bytes: whole(1024, MIB)
        .default(16 * KIB)
        .meta({ description: "All header lines of one request together; more is refused with 431." }),
      connections_max: whole(1, 1_000_000)
        .default(1024)
        .meta({ description: "Open client connections at the same time; more are closed at once." }),
      headers_timeout_ms: whole(100, 3_600_000)
        .default(10_000)
        .meta({ description: "From the first byte of a request to the end of its headers." }),
      receive_timeout_ms: whole(100, 3_600_000).default(60_000).meta({
        description: "From the first byte of a request to the end of its body; does not bound the answer.",
      }),
      keep_alive_ms: whole(1000, 3_600_000).default(65_000).meta({
        description: "An idle connection is closed after this time; keep it above a load balancer's own.",
      }),
      stalled_client_ms: whole(100, 3_600_000)
        .default(60_000)
        .meta({ description: "A client that reads nothing for so long while its answer waits is cut off." }),
      stream_keep_alive_ms: whole(100, 3_600_000)
        .default(15_000)
        .meta({ description: "A silent stream carries a comment this often, so that proxies keep it open." }),
      choices_max: whole(1, 4096).default(128).meta({ description: "The largest `n`." }),
      prompts_max: whole(1, 4096).default(128).meta({ description: "Prompts in one completions request." }),
      generations_max: whole(1, 65_536)
        .default(128)
        .meta({ description: "Answers that one request may ask for: its prompts times `n`." }),
      messages_max: whole(1, 1_000_000).default(2048).meta({ description: "Messages in one chat request." }),
      drain_ms: whole(0, 3_600_000)
        .default(30_000)
        .meta({ description: "After SIGTERM running answers may go on for this time, then they are cut." }),
    })
    .prefault({}),
  engine: z
    .strictObject({
      device: z
        .enum(["cpu"], { error: ({ input }) => deviceProblem(input) })
        .default("cpu")
        .meta({ description: "Where models run; /health says it." }),
      lanes: whole(1, 64)
        .default(1)
        .meta({ description: "Replicas of a model, each with a thread and a cache of its own." }),
      threads: z
        .union([z.literal("auto"), whole(1, 256)])
        .default("auto")
        .meta({
          description: "Compute threads of one lane; auto shares the processor's cores between the lanes.",
        }),
      kv: z.enum(["auto", "f32", "int8"]).default("auto").meta({
        description: "Precision of cached keys and values; auto takes what the model was imported with.",
      }),
      rows_max: whole(1, 1024)
        .default(16)
        .meta({ description: "Sequences that one lane computes at the same time." }),
      context_tokens_max: whole(2, 1_048_576).default(4096).meta({
        description:
          "Prompt and answer of one sequence together; a model with a shorter context keeps its own.",
      }),
      step_tokens_max: whole(1, 65_536)
        .default(512)
        .meta({ description: "Tokens computed in one step: decode rows and the prefill chunk together." }),
      chunk_tokens_max: whole(1, 65_536).default(256).meta({ description: "The longest prefill chunk." }),
      chunk_tokens_min: whole(1, 65_536).default(4).meta({
        description: "The shortest prefill chunk that a step takes while rows decode.",
      }),
      inter_token_stretch_max: z.number().min(1.01).max(100).default(2).meta({
        description:
          "While a prompt is read, p95 of the time between two tokens of running answers stays within this many times what it was before.",
      }),
      waiting_max: whole(1, 1_000_000)
        .default(256)
        .meta({ description: "Sequences that wait for a free row of a lane; one more is refused with 429." }),
      aging_ms: whole(1, 3_600_000).default(2000).meta({
        description: "A waiting sequence gains one priority level each time it has waited this long.",
      }),
      request_timeout_ms: whole(1, 86_400_000)
        .default(600_000)
        .meta({ description: "From a request's arrival to its last token." }),
    })
    .prefault({}),
  models: z
    .strictObject({
      default: modelName.optional().meta({
        description: "The model that is loaded at start; unset means the one that comes with weir.",
      }),
      resident: z.boolean().default(true).meta({
        description: "Serve the small model that comes with weir beside the installed ones.",
      }),
      memory_budget_bytes: z
        .union([z.literal("auto"), whole(MIB, 2 ** 50)])
        .default("auto")
        .meta({
          description:
            "Loaded models may take this much; the least recently used are unloaded. auto: half the memory.",
        }),
      aliases: z.record(modelName, modelName).default({}).meta({
        description: "Further names for installed models: what clients send, and the model that answers.",
      }),
    })
    .prefault({}),
  backends: z
    .record(backendName, backendSchema)
    .refine((backends) => Object.keys(backends).length <= 64, "may hold at most 64 backends")
    .default({})
    .meta({
      domain: "a map from name to backend",
      description:
        "Other servers that may answer, each in a zone of trust; docs/backends.md has their fields.",
    }),
  routing: z
    .strictObject({
      policy_file: z.string().min(1).max(4096).optional().meta({
        env: "WEIR_POLICY_FILE",
        description:
          "What may run where; unset means the policy that comes with weir. Relative to this file.",
      }),
      classify_timeout_ms: whole(10, 600_000).default(2000).meta({
        description: "A request whose class is not known after this time counts as restricted.",
      }),
      retry_ms: whole(1, 60_000).default(250).meta({
        description: "The longest pause before a backend is asked again; it doubles with each further try.",
      }),
    })
    .prefault({}),
  receipts: z
    .strictObject({
      file_bytes_max: whole(64 * KIB, 16 * GIB)
        .default(64 * MIB)
        .meta({ description: "A larger file of receipts is closed and another begun." }),
      sync_ms: whole(10, 60_000).default(1000).meta({
        description: "Receipts are forced to disk this often: a power cut loses at most so much of them.",
      }),
    })
    .prefault({}),
  hub: z
    .strictObject({
      endpoint: endpoint
        .default("https://huggingface.co")
        .meta({ env: "HF_ENDPOINT", description: "The hub that `weir models pull` asks." }),
      parts_max: whole(1, 64).default(4).meta({ description: "Ranges downloaded at the same time." }),
      part_bytes: whole(MIB, GIB)
        .default(64 * MIB)
        .meta({ description: "Size of one range; a lost connection costs at most this much again." }),
      attempts_max: whole(1, 100)
        .default(6)
        .meta({ description: "Tries for one range without progress, with growing pauses." }),
      idle_timeout_ms: whole(100, 3_600_000)
        .default(30_000)
        .meta({ description: "A connection that brings nothing for this time is given up and tried again." }),
      download_bytes_max: whole(1, 2 ** 50)
        .default(200 * GIB)
        .meta({ description: "A pull that would need more is refused before it starts." }),
    })
    .prefault({}),
  supervisor: z
    .strictObject({
      restarts_max: whole(0, 1000)
        .default(5)
        .meta({ description: "Crashes within `window_ms` after which the supervisor gives up." }),
      window_ms: whole(1000, 86_400_000)
        .default(60_000)
        .meta({ description: "The time over which crashes are counted." }),
      backoff_ms_max: whole(100, 3_600_000)
        .default(10_000)
        .meta({ description: "The longest pause before a restart; the first restart is at once." }),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z
        .enum(["silent", "fatal", "error", "warn", "info", "debug", "trace"])
        .default("info")
        .meta({ description: "The least serious line that is logged; request text never is." }),
    })
    .prefault({}),
  keys_file: z.string().min(1).max(4096).optional().meta({
    env: "WEIR_API_KEYS_FILE",
    description:
      "File with one hashed API key a line (`weir keys hash`); relative to the configuration file.",
  }),
});

/** Settings as in the file, all defaults filled in. */
export type Settings = z.output<typeof SettingsSchema>;
