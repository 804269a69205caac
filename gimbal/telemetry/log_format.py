"""How a record becomes a protobuf message of constant layout, and back, many rows at a time.

The schema is made from the numpy dtype: every number goes as a fixed-width wire type, every array packed. So the tag
and length bytes of a message are the same in every row, and encoding N rows is filling N copies of a template with one
numpy assignment per field. Decoding is the same the other way round. Integers narrower than 32 bits are widened to 32;
byte arrays of more than 32 elements become ``bytes``. Layout rules: protobuf.dev, "Encoding" (2024).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gimbal.telemetry import dtypes

LOG_FORMAT = 1  # grows when older readers can't read the file; docs/log-format.md has the history
PROFILE = "gimbal"
TICK_TOPIC, STATE_TOPIC, GAP_TOPIC = "/tick", "/state", "/gap"
LONG_BYTES = 32  # u1 arrays above this are opaque bytes, below it numbers that can be plotted

# The gap channel: rows that the recorder could not get.
GAP = np.dtype([("first_index", "<u8"), ("count", "<u8"), ("t_ns", "<i8")])

_I64, _LEN, _I32, _VARINT = 1, 2, 5, 0
# numpy kind and size -> (FieldDescriptorProto type name, wire type, type on the wire)
_WIRE = {
    "f8": ("TYPE_DOUBLE", _I64, "<f8"),
    "f4": ("TYPE_FLOAT", _I32, "<f4"),
    "i8": ("TYPE_SFIXED64", _I64, "<i8"),
    "u8": ("TYPE_FIXED64", _I64, "<u8"),
    "i4": ("TYPE_SFIXED32", _I32, "<i4"),
    "i2": ("TYPE_SFIXED32", _I32, "<i4"),
    "i1": ("TYPE_SFIXED32", _I32, "<i4"),
    "u4": ("TYPE_FIXED32", _I32, "<u4"),
    "u2": ("TYPE_FIXED32", _I32, "<u4"),
    "u1": ("TYPE_FIXED32", _I32, "<u4"),
    "b1": ("TYPE_BOOL", _VARINT, "?"),
}
# An MCAP message record: opcode, length, channel, sequence, log time, publish time, then the protobuf bytes.
MESSAGE_HEADER = np.dtype(
    [("op", "u1"), ("length", "<u8"), ("channel", "<u2"), ("seq", "<u4"), ("log_ns", "<u8"), ("publish_ns", "<u8")]
)


class Slot(NamedTuple):
    """Where a leaf of the record lies in the message."""

    leaf: dtypes.Leaf
    at: int  # byte in the message
    wire: np.dtype


def state_record(state_dtype: np.dtype) -> np.dtype:
    """The /state message: the State before row ``index``, as raw bytes, and the hash of its layout."""
    data = ("data", "u1", (state_dtype.itemsize,))
    return np.dtype([("index", "<u8"), ("t_ns", "<i8"), ("dtype_hash", "<u8"), data])


class RowCodec:
    """Rows of one dtype <-> MCAP message records holding one protobuf message each."""

    def __init__(self, dtype: np.dtype, message: str, channel: int = 0) -> None:
        """Args: a structured dtype; the message's name in package gimbal; the MCAP channel id.

        Raises:
            TypeError: the dtype has a field that protobuf has no fixed-width type for.
        """
        self.dtype, self.message, self.channel = dtype, message, channel
        body, slots = _layout(dtype, dtypes.Leaf("", 0, dtype, ()))
        head = np.zeros(1, MESSAGE_HEADER)
        head["op"], head["length"], head["channel"] = 5, MESSAGE_HEADER.itemsize - 9 + len(body), channel
        self._template = np.frombuffer(head.tobytes() + body, np.uint8)
        self.stride = len(self._template)
        shift = MESSAGE_HEADER.itemsize
        source, target = _copy_plan([s._replace(at=s.at + shift) for s in slots], dtype.itemsize, self.stride)
        self._source, self._target = source, target
        self._fields = source.names or ()
        self.length = int(head["length"][0])

    def schema(self) -> bytes:
        """Serialised FileDescriptorSet for the MCAP schema record."""
        return _file_descriptor_set(self.dtype, self.message)

    def encode(self, rows: np.ndarray, seq: np.ndarray, log_ns: np.ndarray, publish_ns: np.ndarray) -> np.ndarray:
        """(n,) rows -> (n, stride) uint8: message records ready for a chunk."""
        out = np.empty((len(rows), self.stride), np.uint8)
        out[:] = self._template
        messages = out.reshape(-1).view(self._target)
        messages["seq"], messages["log_ns"], messages["publish_ns"] = seq, log_ns, publish_ns
        raw = np.ascontiguousarray(rows).view(self._source)
        for name in self._fields:
            messages[name] = raw[name]
        return out

    def decode(self, data: bytes | memoryview) -> tuple[np.ndarray, np.ndarray]:
        """Message records -> (rows, headers): the very rows that were encoded, and seq and times of each.

        Raises:
            ValueError: the bytes aren't whole messages of this layout.
        """
        if len(data) % self.stride:
            raise ValueError(f"{len(data)} bytes are not whole /{self.message} messages of {self.stride} bytes")
        messages = np.frombuffer(data, self._target)
        headers = np.ndarray(len(messages), MESSAGE_HEADER, data, 0, (self.stride,))
        right = (headers["op"] == 5) & (headers["length"] == self.length) & (headers["channel"] == self.channel)
        if not right.all():
            raise ValueError(f"message {int(np.flatnonzero(~right)[0])} of the chunk is no {self.message} message")
        raw = np.zeros(len(messages), self._source)
        for name in self._fields:
            raw[name] = messages[name]
        return raw.view(self.dtype), headers


def _layout(dtype: np.dtype, at: dtypes.Leaf) -> tuple[bytes, list[Slot]]:
    """Constant bytes of a message and where values go. ``at``: path and offset of this record in the outermost."""
    body, slots = b"", []
    for number, name in enumerate(dtype.names or (), start=1):
        field, offset = dtype.fields[name][:2]  # type: ignore[index]
        base, shape = field.subdtype or (field, ())
        path = f"{at.path}.{name}" if at.path else name
        if base.names is None:
            prefix, wire, count = _plain(base, shape, number, path)
            slots.append(Slot(dtypes.Leaf(path, at.offset + offset, base, shape), len(body) + len(prefix), wire))
            body += prefix + bytes(wire.itemsize * count)
            continue
        for k in range(int(np.prod(shape, dtype=int))):
            inner = dtypes.Leaf(f"{path}[{k}]" if shape else path, at.offset + offset + k * base.itemsize, base, ())
            content, inner_slots = _layout(base, inner)
            prefix = _varint(number << 3 | _LEN) + _varint(len(content))
            slots += [s._replace(at=s.at + len(body) + len(prefix)) for s in inner_slots]
            body += prefix + content
    return body, slots


def _plain(base: np.dtype, shape: tuple[int, ...], number: int, path: str) -> tuple[bytes, np.dtype, int]:
    """Tag (and length) bytes before a plain field, its type on the wire, its element count."""
    kind = f"{base.kind}{base.itemsize}"
    if kind not in _WIRE or base.byteorder == ">":
        raise TypeError(f"field {path} is of type {base}, which has no fixed-width protobuf type")
    count = int(np.prod(shape, dtype=int))
    if _is_bytes(base, shape):
        return _varint(number << 3 | _LEN) + _varint(count), np.dtype("u1"), count
    _, wire_type, wire = _WIRE[kind]
    if not shape:
        return _varint(number << 3 | wire_type), np.dtype(wire), 1
    return _varint(number << 3 | _LEN) + _varint(count * np.dtype(wire).itemsize), np.dtype(wire), count


def _is_bytes(base: np.dtype, shape: tuple[int, ...]) -> bool:
    return base == np.uint8 and int(np.prod(shape, dtype=int)) > LONG_BYTES


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _copy_plan(slots: list[Slot], row_bytes: int, message_bytes: int) -> tuple[np.dtype, np.dtype]:
    """Two dtypes with the same field names, so that ``message[name] = row[name]`` moves each field.

    Fields of the same width move as opaque bytes (one memcpy an element); widened ones are converted by numpy.
    """
    names, source, target, from_at, to_at = [], [], [], [], []
    for k, slot in enumerate(slots):
        names.append(f"f{k}")
        from_at.append(slot.leaf.offset)
        to_at.append(slot.at)
        if slot.wire.itemsize == slot.leaf.dtype.itemsize:
            source.append(f"V{slot.leaf.size}")
            target.append(f"V{slot.leaf.size}")
        else:
            source.append(np.dtype((slot.leaf.dtype, slot.leaf.shape)))  # type: ignore[arg-type]
            target.append(np.dtype((slot.wire, slot.leaf.shape)))  # type: ignore[arg-type]
    row = np.dtype({"names": names, "formats": source, "offsets": from_at, "itemsize": row_bytes})  # type: ignore
    head = [n for n in ("seq", "log_ns", "publish_ns")]
    message: Any = {
        "names": names + head,
        "formats": target + [MESSAGE_HEADER[n] for n in head],
        "offsets": to_at + [MESSAGE_HEADER.fields[n][1] for n in head],  # type: ignore[index]
        "itemsize": message_bytes,
    }
    return row, np.dtype(message)


def _file_descriptor_set(dtype: np.dtype, message: str) -> bytes:
    from google.protobuf import descriptor_pb2  # 50 ms to import: only when a log is made or opened

    file = descriptor_pb2.FileDescriptorProto(name=f"gimbal/{message.lower()}.proto", package="gimbal", syntax="proto3")
    _describe_message(file.message_type.add(), dtype, message, f".gimbal.{message}")
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString(deterministic=True)


def _describe_message(out: Any, dtype: np.dtype, name: str, full_name: str) -> None:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

    out.name = name
    for number, field_name in enumerate(dtype.names or (), start=1):
        field = dtype.fields[field_name][0]  # type: ignore[index]
        base, shape = field.subdtype or (field, ())
        entry = out.field.add(name=field_name, number=number)
        entry.label = Field.LABEL_REPEATED if shape and not _is_bytes(base, shape) else Field.LABEL_OPTIONAL
        if base.names is None:
            kind = "TYPE_BYTES" if _is_bytes(base, shape) else _WIRE[f"{base.kind}{base.itemsize}"][0]
            entry.type = getattr(Field, kind)
            continue
        inner = "".join(part.capitalize() for part in field_name.split("_")) + "Record"
        entry.type, entry.type_name = Field.TYPE_MESSAGE, f"{full_name}.{inner}"
        _describe_message(out.nested_type.add(), base, inner, f"{full_name}.{inner}")
