/**
 * Arguments of Node for threads: never to `require` an ES module, which piscina tries first. Node aborts the whole process
 * where a thread is ended in the middle of that (an assertion in CreateRequiredModuleFacade, seen with Node 24.21 under
 * load); the `import` that piscina falls back to can be ended at any time. The process's own arguments are left out: Node
 * refuses threads some of them, such as a size of the heap.
 */
export const THREAD_ARGS: readonly string[] = ["--no-experimental-require-module"];
