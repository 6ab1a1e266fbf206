/**
 * Loads the ONNX Runtime library that the package onnxruntime-node ships, and finds the functions of its C API.
 *
 * Why not the package's own JS binding: it copies every output into fresh memory on each run, and a decoder's outputs
 * include the whole KV cache. Through the C API one buffer is bound as past and as present, and nothing is copied.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import koffi from "koffi";

/** Versions whose table positions and behaviour the tests have proved; anything else is refused at start. */
const TESTED_VERSIONS: readonly string[] = ["1.30.0"];
/** OrtGetApiBase()->GetApi(22): the oldest table that has all that is used here. */
const API_VERSION = 22;

/** Positions in OrtApi (onnxruntime_c_api.h), counted from 0; the table only ever grows at its end. */
const POSITION = {
  GetErrorMessage: 2,
  CreateEnv: 3,
  CreateSession: 7,
  CreateSessionOptions: 10,
  SetSessionGraphOptimizationLevel: 23,
  SetIntraOpNumThreads: 24,
  SetInterOpNumThreads: 25,
  CreateRunOptions: 39,
  CreateTensorWithDataAsOrtValue: 49,
  CreateCpuMemoryInfo: 69,
  ReleaseEnv: 92,
  ReleaseStatus: 93,
  ReleaseMemoryInfo: 94,
  ReleaseSession: 95,
  ReleaseValue: 96,
  ReleaseRunOptions: 97,
  ReleaseSessionOptions: 100,
  AddSessionConfigEntry: 130,
  RunWithBinding: 133,
  CreateIoBinding: 134,
  ReleaseIoBinding: 135,
  BindInput: 136,
  BindOutput: 137,
  SessionOptionsAppendExecutionProvider: 216,
} as const;
type Name = keyof typeof POSITION;

/** An address in native memory. 0n is null. */
export type Pointer = bigint;

const SIGNATURES: Record<Name, readonly [result: string, args: readonly string[]]> = {
  GetErrorMessage: ["const char *", ["void *"]],
  CreateEnv: ["void *", ["int", "const char *", "_Out_ void **"]],
  CreateSession: ["void *", ["void *", "const char *", "void *", "_Out_ void **"]],
  CreateSessionOptions: ["void *", ["_Out_ void **"]],
  SetSessionGraphOptimizationLevel: ["void *", ["void *", "int"]],
  SetIntraOpNumThreads: ["void *", ["void *", "int"]],
  SetInterOpNumThreads: ["void *", ["void *", "int"]],
  CreateRunOptions: ["void *", ["_Out_ void **"]],
  CreateTensorWithDataAsOrtValue: [
    "void *",
    ["void *", "void *", "size_t", "void *", "size_t", "int", "_Out_ void **"],
  ],
  CreateCpuMemoryInfo: ["void *", ["int", "int", "_Out_ void **"]],
  ReleaseEnv: ["void", ["void *"]],
  ReleaseStatus: ["void", ["void *"]],
  ReleaseMemoryInfo: ["void", ["void *"]],
  ReleaseSession: ["void", ["void *"]],
  ReleaseValue: ["void", ["void *"]],
  ReleaseRunOptions: ["void", ["void *"]],
  ReleaseSessionOptions: ["void", ["void *"]],
  AddSessionConfigEntry: ["void *", ["void *", "const char *", "const char *"]],
  RunWithBinding: ["void *", ["void *", "void *", "void *"]],
  CreateIoBinding: ["void *", ["void *", "_Out_ void **"]],
  ReleaseIoBinding: ["void", ["void *"]],
  BindInput: ["void *", ["void *", "const char *", "void *"]],
  BindOutput: ["void *", ["void *", "const char *", "void *"]],
  SessionOptionsAppendExecutionProvider: ["void *", ["void *", "const char *", "void *", "void *", "size_t"]],
};

type Native = (...args: readonly unknown[]) => unknown;

export interface OrtLibrary {
  readonly version: string;
  /** Calls a function that returns a status; throws OrtError with the runtime's own message unless it is ok. */
  check(name: Name, ...args: readonly unknown[]): void;
  /** Calls a function that hands out a handle through its last argument. */
  create(name: Name, ...args: readonly unknown[]): Pointer;
  release(name: Name, handle: Pointer): void;
}

export class OrtError extends Error {
  override readonly name = "OrtError";
}

/** Where the shared library lies inside the installed package; throws where this platform has none. */
function libraryPath(): string {
  const entry = createRequire(import.meta.url).resolve("onnxruntime-node");
  const folder = join(dirname(entry), "..", "bin", "napi-v6", process.platform, process.arch);
  const file = {
    linux: "libonnxruntime.so.1",
    darwin: "libonnxruntime.1.30.0.dylib",
    win32: "onnxruntime.dll",
  }[process.platform as string];
  const path = file === undefined ? undefined : join(folder, file);
  if (path === undefined || !existsSync(path)) {
    throw new OrtError(
      `onnxruntime-node has no library for ${process.platform}-${process.arch}; supported: linux-x64`,
    );
  }
  return path;
}

/**
 * Kept for the life of the process: koffi unloads a library whose handle is collected, and the next call would jump
 * into nothing.
 */
let loaded: { readonly handle: unknown; readonly library: OrtLibrary } | undefined;

export function loadOrt(): OrtLibrary {
  loaded ??= open();
  return loaded.library;
}

function open(): { readonly handle: unknown; readonly library: OrtLibrary } {
  const handle = koffi.load(libraryPath());
  const getApiBase = handle.func("OrtGetApiBase", "void *", []);
  const base = getApiBase() as Pointer;
  const getApi = koffi.decode(base, 0, "void *") as Pointer;
  const getVersion = koffi.decode(base, 8, "void *") as Pointer;
  const version = koffi.call(getVersion, koffi.proto("const char *", []), ...[]) as string;
  if (!TESTED_VERSIONS.includes(version)) {
    throw new OrtError(
      `ONNX Runtime ${version} was not tested with weir (tested: ${TESTED_VERSIONS.join(", ")}); install with npm ci`,
    );
  }
  const table = koffi.call(getApi, koffi.proto("void *", ["uint32_t"]), API_VERSION) as Pointer;
  const functions = new Map<Name, Native>();
  for (const [name, position] of Object.entries(POSITION) as [Name, number][]) {
    const [result, args] = SIGNATURES[name];
    const proto = koffi.proto(result, [...args]);
    const address = koffi.decode(table, position * 8, "void *") as Pointer;
    functions.set(name, koffi.decode(address, proto) as Native);
  }
  const call = (name: Name, args: readonly unknown[]): unknown => (functions.get(name) as Native)(...args);
  const check = (name: Name, ...args: readonly unknown[]): void => {
    const status = call(name, args) as Pointer | null;
    if (status === null || status === 0n) return;
    const message = call("GetErrorMessage", [status]) as string;
    call("ReleaseStatus", [status]);
    throw new OrtError(`${name}: ${message}`);
  };
  const library: OrtLibrary = {
    version,
    check,
    create: (name, ...args) => {
      const out: [Pointer | null] = [null];
      check(name, ...args, out);
      return out[0] as Pointer;
    },
    release: (name, pointer) => void call(name, [pointer]),
  };
  return { handle, library };
}
