/**
 * Reads what an ONNX file says of its graph, never its weights: inputs and outputs with types and shapes, nodes with their
 * wiring and whole-number attributes, the shapes of its constants, and which other files it keeps weights in
 * (source: onnx/onnx.proto, field numbers and data types). Nothing in the file is believed.
 */
import { closeSync } from "node:fs";
import { ModelFileError } from "../source.ts";
import { openRegularFile } from "./file-cursor.ts";
import { ExternalFiles } from "./onnx-external.ts";
import { bitsOf, type ElementType, typeNamed } from "./onnx-types.ts";
import { type ByteSpan, named, type ProtoField, ProtoReader } from "./proto-reader.ts";

export interface OnnxValue {
  readonly name: string;
  readonly type: ElementType;
  /** A size, or the name of one that is only known at run time ("" where it has none). */
  readonly shape: readonly (number | string)[];
}

export interface OnnxTensor {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
}

export interface OnnxNode {
  readonly operator: string;
  /** "" for ONNX's own operators. */
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Attributes that are one whole number. */
  readonly integers: ReadonlyMap<string, number>;
  /** 0 in the graph itself, more in the bodies of its If and Loop nodes and of its functions. */
  readonly depth: number;
}

export interface OnnxGraph {
  /** Without those that have a constant for a default. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly nodes: readonly OnnxNode[];
  /** Constants of the graph itself, by name. */
  readonly constants: ReadonlyMap<string, OnnxTensor>;
  /** Files beside the graph that hold weights; plain names, each checked to be long enough. */
  readonly externalFiles: readonly string[];
}

/** Protocol Buffers' own bound on a message. */
const FILE_BYTES_MAX = 2 ** 31;
const NAME_BYTES_MAX = 4096;
const DIMENSIONS_MAX = 16;
/** Bodies within bodies. */
const DEPTH_MAX = 8;

/** Throws ModelFileError naming the field. Closes what it opens. */
export function readOnnxGraph(path: string): OnnxGraph {
  const file = openRegularFile(path);
  try {
    if (file.size >= FILE_BYTES_MAX) {
      throw new ModelFileError(
        path,
        "file",
        `has ${file.size} bytes; an ONNX graph has less than ${FILE_BYTES_MAX}`,
      );
    }
    return new GraphReader(path, new ProtoReader(file)).model({ start: 0, end: file.size });
  } finally {
    closeSync(file.descriptor);
  }
}

class GraphReader {
  readonly #proto: ProtoReader;
  readonly #external: ExternalFiles;
  readonly #nodes: OnnxNode[] = [];

  constructor(path: string, proto: ProtoReader) {
    this.#proto = proto;
    this.#external = new ExternalFiles(path);
  }

  model(span: ByteSpan): OnnxGraph {
    const fields = this.#proto.fields(span, "model");
    const [graph, ...more] = spansOf(fields, 7);
    if (graph === undefined) return this.#proto.fail("graph", "is missing: this is no ONNX model");
    if (more.length > 0) this.#proto.fail("graph", "there is more than one");
    const { inputs, outputs, constants } = this.#graph(graph, 0);
    for (const each of spansOf(fields, 25)) this.#function(each);
    return {
      inputs: inputs.filter(({ name }) => !constants.has(name)),
      outputs,
      nodes: this.#nodes,
      constants,
      externalFiles: this.#external.names,
    };
  }

  #graph(span: ByteSpan, depth: number): Pick<OnnxGraph, "inputs" | "outputs" | "constants"> {
    if (depth > DEPTH_MAX) this.#proto.fail("graph", `has bodies nested deeper than ${DEPTH_MAX}`);
    const fields = this.#proto.fields(span, "graph");
    if (spansOf(fields, 15).length > 0)
      this.#proto.fail("sparse_initializer", "sparse weights are not supported");
    const constants = new Map<string, OnnxTensor>();
    for (const each of spansOf(fields, 5)) {
      const tensor = this.#tensor(each, "initializer");
      if (constants.has(tensor.name))
        this.#proto.fail(named("initializer", tensor.name), "there are two of this name");
      constants.set(tensor.name, tensor);
    }
    for (const each of spansOf(fields, 1)) this.#node(each, depth);
    // Bodies of If and Loop may leave the types of theirs out.
    const values = (number: number, what: string): readonly OnnxValue[] =>
      depth > 0 ? [] : spansOf(fields, number).map((each) => this.#value(each, what));
    return { inputs: values(11, "input"), outputs: values(12, "output"), constants };
  }

  #function(span: ByteSpan): void {
    for (const each of spansOf(this.#proto.fields(span, "function"), 7)) this.#node(each, 1);
  }

  #node(span: ByteSpan, depth: number): void {
    const fields = this.#proto.fields(span, "node");
    const operator = this.#textOf(fields, 4, "node op_type");
    const what = named("node", operator);
    const integers = new Map<string, number>();
    for (const each of spansOf(fields, 5)) this.#attribute(each, what, depth, integers);
    const texts = (number: number): readonly string[] =>
      spansOf(fields, number).map((each) => this.#proto.text(each, NAME_BYTES_MAX, what));
    this.#nodes.push({
      operator,
      domain: this.#textOf(fields, 7, what),
      inputs: texts(1),
      outputs: texts(2),
      integers,
      depth,
    });
  }

  #attribute(span: ByteSpan, node: string, depth: number, integers: Map<string, number>): void {
    const what = `an attribute of ${node}`;
    const fields = this.#proto.fields(span, what);
    for (const field of fields) {
      if (field.number === 3 && field.kind === "int")
        integers.set(this.#textOf(fields, 1, what), field.value);
    }
    // Weights may stand in attributes and bodies as well, and in files that those name.
    for (const each of [...spansOf(fields, 5), ...spansOf(fields, 10)]) this.#tensor(each, what);
    for (const each of [...spansOf(fields, 6), ...spansOf(fields, 11)]) this.#graph(each, depth + 1);
    if (spansOf(fields, 22).length + spansOf(fields, 23).length > 0) {
      this.#proto.fail(what, "sparse weights are not supported");
    }
  }

  #tensor(span: ByteSpan, kind: string): OnnxTensor {
    const fields = this.#proto.fields(span, kind);
    const name = this.#textOf(fields, 8, kind);
    const what = named(kind, name);
    const type = typeNamed(integerOf(fields, 2) ?? 0);
    const shape = fields.flatMap((field) => {
      if (field.number !== 1 || field.kind === "fixed") return [];
      return field.kind === "int" ? [field.value] : this.#proto.packed(field.span, what);
    });
    const elements = shape.reduce((product, size) => product * size, 1);
    if (shape.length > DIMENSIONS_MAX || shape.some((size) => size < 0) || !Number.isSafeInteger(elements)) {
      this.#proto.fail(what, `the shape [${shape.slice(0, DIMENSIONS_MAX).join(", ")}] is out of bounds`);
    }
    const bits = bitsOf(type);
    const bytes = bits === undefined ? undefined : Math.ceil((elements * bits) / 8);
    const [raw] = spansOf(fields, 9);
    if (integerOf(fields, 14) === 1) {
      if (bytes === undefined) this.#proto.fail(what, `its type ${type} cannot lie in another file`);
      this.#external.add(this.#entries(fields, what), bytes, what);
    } else if (raw !== undefined && bytes !== undefined && raw.end - raw.start !== bytes) {
      this.#proto.fail(what, `has ${raw.end - raw.start} bytes of data, its shape takes ${bytes}`);
    }
    return { name, type, shape };
  }

  /** The keys and values that say where external data lies. */
  #entries(fields: readonly ProtoField[], what: string): ReadonlyMap<string, string> {
    return new Map(
      spansOf(fields, 13).map((each) => {
        const entry = this.#proto.fields(each, `${what} external_data`);
        return [this.#textOf(entry, 1, what), this.#textOf(entry, 2, what)] as const;
      }),
    );
  }

  #value(span: ByteSpan, kind: string): OnnxValue {
    const fields = this.#proto.fields(span, kind);
    const name = this.#textOf(fields, 1, kind);
    const what = named(kind, name);
    const [type] = spansOf(fields, 2);
    const [tensor] = type === undefined ? [] : spansOf(this.#proto.fields(type, what), 1);
    if (tensor === undefined) return this.#proto.fail(what, "is no tensor");
    const parts = this.#proto.fields(tensor, what);
    const [shape] = spansOf(parts, 2);
    const dims = shape === undefined ? [] : spansOf(this.#proto.fields(shape, what), 1);
    if (dims.length > DIMENSIONS_MAX)
      this.#proto.fail(what, `has ${dims.length} dimensions, at most ${DIMENSIONS_MAX}`);
    return {
      name,
      type: typeNamed(integerOf(parts, 1) ?? 0),
      shape: dims.map((each) => {
        const dim = this.#proto.fields(each, what);
        return integerOf(dim, 1) ?? this.#textOf(dim, 2, what);
      }),
    };
  }

  /** "" where the field is absent. */
  #textOf(fields: readonly ProtoField[], number: number, what: string): string {
    const span = spansOf(fields, number).at(-1);
    return span === undefined ? "" : this.#proto.text(span, NAME_BYTES_MAX, what);
  }
}

const spansOf = (fields: readonly ProtoField[], number: number): readonly ByteSpan[] =>
  fields.flatMap((field) => (field.number === number && field.kind === "bytes" ? [field.span] : []));

/** The last one counts, as everywhere in Protocol Buffers. */
function integerOf(fields: readonly ProtoField[], number: number): number | undefined {
  const found = fields.findLast((field) => field.number === number && field.kind === "int");
  return found?.kind === "int" ? found.value : undefined;
}
