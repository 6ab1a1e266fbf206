/**
 * Sessions, tensors and bindings of the C API. Whoever takes a native handle gives it back with `close()`; nothing here
 * frees by garbage collection, because native memory must not outlive or undercut the buffers that it points into.
 */
import koffi from "koffi";
import { loadOrt, OrtError, type OrtLibrary, type Pointer } from "./library.ts";

/** ONNXTensorElementDataType of onnxruntime_c_api.h. */
const ELEMENT_TYPE = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7 } as const;
export type ElementType = keyof typeof ELEMENT_TYPE;

const ALL_OPTIMISATIONS = 99;
const ERROR = 3;
const DEVICE_ALLOCATOR = 0;
const DEFAULT_MEMORY = 0;

/**
 * How long a thread looks for work before it sleeps, in microseconds: longer than the gaps between operators, and short
 * after a run, since then the core is wanted by the main thread or by another session.
 */
const SPIN_US = 200;

interface Runtime {
  readonly ort: OrtLibrary;
  readonly env: Pointer;
  readonly cpuMemory: Pointer;
}

/** One environment a process, never released: worker threads share it, and it must outlive every session. */
let runtime: Runtime | undefined;
function start(): Runtime {
  if (runtime === undefined) {
    const ort = loadOrt();
    runtime = {
      ort,
      env: ort.create("CreateEnv", ERROR, "weir"),
      cpuMemory: ort.create("CreateCpuMemoryInfo", DEVICE_ALLOCATOR, DEFAULT_MEMORY),
    };
  }
  return runtime;
}

/**
 * A tensor over memory that we own. The buffer is a plain ArrayBuffer (a small typed array on V8's heap would move) and
 * stays referenced here as long as the native value lives.
 */
export class Tensor {
  readonly handle: Pointer;
  /** Nobody reads it: the reference keeps the buffer alive. */
  readonly memory: ArrayBuffer;

  /** `byteOffset` and the shape must lie within `memory`; a scalar has shape []. */
  constructor(
    memory: ArrayBuffer,
    byteOffset: number,
    byteLength: number,
    shape: readonly number[],
    type: ElementType,
  ) {
    if (byteOffset < 0 || byteOffset + byteLength > memory.byteLength) {
      throw new OrtError(
        `tensor of ${byteLength} bytes at ${byteOffset} does not fit into ${memory.byteLength} bytes`,
      );
    }
    const { ort, cpuMemory } = start();
    this.memory = memory;
    const address = koffi.address(new Uint8Array(memory)) + BigInt(byteOffset);
    // A scalar has rank 0 and still needs a non-null shape pointer.
    const dims = BigInt64Array.from(shape.length === 0 ? [0] : shape, BigInt);
    this.handle = ort.create(
      "CreateTensorWithDataAsOrtValue",
      cpuMemory,
      address,
      byteLength,
      dims,
      shape.length,
      ELEMENT_TYPE[type],
    );
  }

  close(): void {
    start().ort.release("ReleaseValue", this.handle);
  }
}

export interface SessionOptions {
  /** Threads of one run, the calling one included. */
  readonly threads: number;
  /** Threads wait for work in a busy loop: faster at few rows, but it burns a core between the operators. */
  readonly spinning: boolean;
  /** Further session configuration entries, as the runtime names them. */
  readonly entries?: Readonly<Record<string, string>>;
}

export class OrtSession {
  readonly #handle: Pointer;
  readonly #runOptions: Pointer;
  readonly #bindings = new Set<Binding>();

  /** Throws OrtError with the runtime's message where the graph cannot be loaded. */
  constructor(graphPath: string, options: SessionOptions) {
    const { ort, env } = start();
    const settings = ort.create("CreateSessionOptions");
    try {
      ort.check("SetSessionGraphOptimizationLevel", settings, ALL_OPTIMISATIONS);
      ort.check("SetIntraOpNumThreads", settings, options.threads);
      ort.check("SetInterOpNumThreads", settings, 1);
      const entries = {
        "session.intra_op.allow_spinning": options.spinning ? "1" : "0",
        "session.inter_op.allow_spinning": "0",
        "session.intra_op.spin_duration_us": String(SPIN_US),
        ...options.entries,
      };
      for (const [key, value] of Object.entries(entries))
        ort.check("AddSessionConfigEntry", settings, key, value);
      this.#handle = ort.create("CreateSession", env, graphPath, settings);
    } finally {
      ort.release("ReleaseSessionOptions", settings);
    }
    this.#runOptions = ort.create("CreateRunOptions");
  }

  createBinding(): Binding {
    const binding = new Binding(this.#handle, this.#runOptions);
    this.#bindings.add(binding);
    return binding;
  }

  /** Releases every binding made here as well. */
  close(): void {
    const { ort } = start();
    for (const binding of this.#bindings) binding.close();
    this.#bindings.clear();
    ort.release("ReleaseRunOptions", this.#runOptions);
    ort.release("ReleaseSession", this.#handle);
  }
}

/** Inputs and outputs of a run. Bound tensors must stay open until they are bound again or the binding is closed. */
export class Binding {
  readonly #session: Pointer;
  readonly #runOptions: Pointer;
  readonly #handle: Pointer;
  readonly #ort: OrtLibrary;

  constructor(session: Pointer, runOptions: Pointer) {
    this.#ort = start().ort;
    this.#session = session;
    this.#runOptions = runOptions;
    this.#handle = this.#ort.create("CreateIoBinding", session);
  }

  input(name: string, tensor: Tensor): void {
    this.#ort.check("BindInput", this.#handle, name, tensor.handle);
  }

  output(name: string, tensor: Tensor): void {
    this.#ort.check("BindOutput", this.#handle, name, tensor.handle);
  }

  /** Blocks the calling thread until all outputs are written. */
  run(): void {
    this.#ort.check("RunWithBinding", this.#session, this.#runOptions, this.#handle);
  }

  close(): void {
    this.#ort.release("ReleaseIoBinding", this.#handle);
  }
}
