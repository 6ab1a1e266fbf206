"""GGUF version 3, only what the resident model needs: F32 and Q8_0, written and read with `struct`.

Reading back matters: golden figures and the evaluation use the weights as they lie in the shipped
file, after quantisation.
"""

import struct

import numpy as np

from model import Geometry

ALIGNMENT = 32
BLOCK = 32
F32, Q8_0 = 0, 8
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
SCALARS = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}


def quantise(matrix):
    """Q8_0: rows in blocks of 32, each a half-float scale and 32 signed bytes."""
    blocks = np.ascontiguousarray(matrix, dtype=np.float32).reshape(-1, BLOCK)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    packed = np.empty((len(blocks), 2 + BLOCK), dtype=np.uint8)
    packed[:, :2] = scale.astype("<f2").view(np.uint8)
    packed[:, 2:] = np.round(blocks * inverse).astype(np.int8).view(np.uint8)
    return packed.tobytes()


def dequantise(data, shape):
    packed = np.frombuffer(data, dtype=np.uint8).reshape(-1, 2 + BLOCK)
    scale = packed[:, :2].copy().view("<f2").astype(np.float32)
    return (packed[:, 2:].view(np.int8).astype(np.float32) * scale).reshape(shape)


def _string(text):
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def _value(kind, value):
    return _string(value) if kind == STRING else struct.pack(SCALARS[kind], value)


def _field(key, kind, value):
    """`kind` is one of the constants, or (ARRAY, element kind)."""
    if isinstance(kind, tuple):
        body = struct.pack("<IIQ", ARRAY, kind[1], len(value)) + b"".join(_value(kind[1], item) for item in value)
    else:
        body = struct.pack("<I", kind) + _value(kind, value)
    return _string(key) + body


def _padding(size):
    return b"\0" * (-size % ALIGNMENT)


def write(path, fields, tensors):
    """`fields`: (key, kind, value); `tensors`: name -> array. Matrices become Q8_0, vectors stay F32."""
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(fields)) + b"".join(_field(*field) for field in fields)
    directory, body = b"", b""
    for name, array in tensors.items():
        is_matrix = array.ndim == 2
        data = quantise(array) if is_matrix else array.astype("<f4").tobytes()
        dimensions = array.shape[::-1]
        directory += _string(name) + struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        directory += struct.pack("<IQ", Q8_0 if is_matrix else F32, len(body))
        body += data + _padding(len(data))
    head = header + directory
    path.write_bytes(head + _padding(len(head)) + body)


class _Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        values = struct.unpack_from(layout, self.data, self.at)
        self.at += struct.calcsize(layout)
        return values if len(values) > 1 else values[0]

    def string(self):
        size = self.take("<Q")
        self.at += size
        return self.data[self.at - size : self.at].decode("utf-8")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            element, count = self.take("<IQ")
            return [self.value(element) for _ in range(count)]
        return self.take(SCALARS[kind])


def read(path):
    """Fields as a dict, tensors as float32 arrays by name."""
    cursor = _Cursor(path.read_bytes())
    assert cursor.data[:4] == b"GGUF"
    cursor.at = 4
    _, tensor_count, field_count = cursor.take("<IQQ")
    fields = {cursor.string(): cursor.value(cursor.take("<I")) for _ in range(field_count)}
    entries = []
    for _ in range(tensor_count):
        name, rank = cursor.string(), cursor.take("<I")
        shape = tuple(cursor.take("<Q") for _ in range(rank))[::-1]
        entries.append((name, shape, *cursor.take("<IQ")))
    base = cursor.at + len(_padding(cursor.at))
    tensors = {}
    for name, shape, kind, offset in entries:
        count, start = int(np.prod(shape)), base + offset
        size = count * 4 if kind == F32 else count // BLOCK * (2 + BLOCK)
        data = cursor.data[start : start + size]
        tensors[name] = np.frombuffer(data, "<f4").reshape(shape) if kind == F32 else dequantise(data, shape)
    return fields, tensors


def geometry_of(fields):
    return Geometry(
        vocab_size=fields["llama.vocab_size"],
        hidden_size=fields["llama.embedding_length"],
        intermediate_size=fields["llama.feed_forward_length"],
        layers=fields["llama.block_count"],
        heads=fields["llama.attention.head_count"],
        kv_heads=fields["llama.attention.head_count_kv"],
        head_dim=fields["llama.attention.key_length"],
        rope_theta=fields["llama.rope.freq_base"],
        norm_eps=fields["llama.attention.layer_norm_rms_epsilon"],
        context_length=fields["llama.context_length"],
    )
