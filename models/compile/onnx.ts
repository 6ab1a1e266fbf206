/** Builds an ONNX graph: nodes, constants, and weights that stay in an external data file. */
import { ProtoWriter } from "./protobuf.ts";

export const DATA_TYPE = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7 } as const;
export type DataType = keyof typeof DATA_TYPE;

/** The name of a value that flows along an edge of the graph; "" = an optional input or output that is left out. */
export type Value = string;
export type Attribute = number | { readonly float: number } | string | readonly number[];
/** A dimension's size, or the name of a size that is only known at run time. */
export type Dimension = number | string;

export interface ExternalTensor {
  readonly name: string;
  readonly type: DataType;
  readonly shape: readonly number[];
  /** Where the bytes lie in the external data file. */
  readonly offset: number;
  readonly length: number;
}

/** Attribute types of onnx.proto. */
const ATTRIBUTE = { float: 1, int: 2, string: 3, ints: 7 } as const;
const IR_VERSION = 10;
const ONNX_OPSET = 20;
export const CONTRIB = "com.microsoft";

export class GraphBuilder {
  readonly #dataFile: string;
  readonly #graph = new ProtoWriter();
  readonly #initializers = new Set<string>();
  readonly #names = new Set<string>();

  constructor(dataFile: string) {
    this.#dataFile = dataFile;
  }

  input(name: string, type: DataType, shape: readonly Dimension[]): Value {
    this.#graph.message(11, valueInfo(name, type, shape));
    return name;
  }

  output(name: string, type: DataType, shape: readonly Dimension[]): void {
    this.#graph.message(12, valueInfo(name, type, shape));
  }

  /** A weight in the external data file. The same bytes may carry several names and shapes; a name is added once. */
  external(tensor: ExternalTensor): Value {
    if (this.#initializers.has(tensor.name)) return tensor.name;
    this.#initializers.add(tensor.name);
    const proto = new ProtoWriter();
    for (const dim of tensor.shape) proto.int(1, dim);
    proto.int(2, DATA_TYPE[tensor.type]).text(8, tensor.name);
    const place = { location: this.#dataFile, offset: String(tensor.offset), length: String(tensor.length) };
    for (const [key, value] of Object.entries(place))
      proto.message(13, new ProtoWriter().text(1, key).text(2, value));
    this.#graph.message(5, proto.int(14, 1));
    return tensor.name;
  }

  /** A small constant inside the graph file. */
  constant(
    name: string,
    type: "int64" | "float32",
    shape: readonly number[],
    values: readonly number[],
  ): Value {
    if (this.#initializers.has(name)) return name;
    this.#initializers.add(name);
    const raw = type === "int64" ? BigInt64Array.from(values, BigInt) : Float32Array.from(values);
    const proto = new ProtoWriter();
    for (const dim of shape) proto.int(1, dim);
    this.#graph.message(5, proto.int(2, DATA_TYPE[type]).text(8, name).bytes(9, new Uint8Array(raw.buffer)));
    return name;
  }

  /** `outputs` are the names of the values that the node makes; the first names the node too. */
  node(
    operator: string,
    inputs: readonly Value[],
    outputs: readonly Value[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = "",
  ): Value {
    const [first = ""] = outputs;
    if (this.#names.has(first)) throw new Error(`two nodes make the value ${first}`);
    this.#names.add(first);
    const proto = new ProtoWriter();
    for (const value of inputs) proto.text(1, value);
    for (const value of outputs) proto.text(2, value);
    proto.text(3, first).text(4, operator);
    for (const [name, value] of Object.entries(attributes)) proto.message(5, attribute(name, value));
    if (domain !== "") proto.text(7, domain);
    this.#graph.message(1, proto);
    return first;
  }

  finish(producerVersion: string): Uint8Array {
    const opset = (domain: string, version: number): ProtoWriter =>
      new ProtoWriter().text(1, domain).int(2, version);
    return new ProtoWriter()
      .int(1, IR_VERSION)
      .text(2, "weir")
      .text(3, producerVersion)
      .message(7, this.#graph.text(2, "decoder"))
      .message(8, opset("", ONNX_OPSET))
      .message(8, opset(CONTRIB, 1))
      .finish();
  }
}

function valueInfo(name: string, type: DataType, shape: readonly Dimension[]): ProtoWriter {
  const dims = new ProtoWriter();
  for (const dim of shape) {
    dims.message(1, typeof dim === "number" ? new ProtoWriter().int(1, dim) : new ProtoWriter().text(2, dim));
  }
  const tensor = new ProtoWriter().int(1, DATA_TYPE[type]).message(2, dims);
  return new ProtoWriter().text(1, name).message(2, new ProtoWriter().message(1, tensor));
}

function attribute(name: string, value: Attribute): ProtoWriter {
  const proto = new ProtoWriter().text(1, name);
  if (typeof value === "number") return proto.int(3, value).int(20, ATTRIBUTE.int);
  if (typeof value === "string") return proto.text(4, value).int(20, ATTRIBUTE.string);
  if ("float" in value) return proto.float(2, value.float).int(20, ATTRIBUTE.float);
  for (const item of value) proto.int(8, item);
  return proto.int(20, ATTRIBUTE.ints);
}
