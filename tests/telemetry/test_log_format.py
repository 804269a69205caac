"""Encoding: bit for bit there and back, and the official protobuf parser reads the same values."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from gimbal.records import TICK
from gimbal.telemetry import dtypes
from gimbal.telemetry.log_format import MESSAGE_HEADER, RowCodec, state_record

MIXED = np.dtype(
    [
        ("flag", "?"),
        ("flags", "?", 5),
        ("tiny", "i1"),
        ("small", "i2", (2, 3)),
        ("byte", "u1"),
        ("few", "u1", 3),
        ("blob", "u1", 300),
        ("f", "f4", 2),
        ("wide", "u8"),
        ("items", [("x", "f8", 3), ("n", "u2")], (2, 2)),
    ],
    align=True,
)


def random_rows(dtype: np.dtype, n: int, seed: int) -> np.ndarray:
    """Random bit patterns in every field (NaNs, denormals, all of them), zero padding, bools 0 or 1."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, (n, dtype.itemsize), dtype=np.uint8)
    raw[:, ~dtypes.byte_mask(dtype)] = 0
    for leaf in dtypes.leaves(dtype):
        if leaf.dtype == np.bool_:
            raw[:, leaf.offset : leaf.offset + leaf.size] &= 1
    return raw.reshape(-1).view(dtype)


def encode(codec: RowCodec, rows: np.ndarray) -> np.ndarray:
    k = np.arange(len(rows))
    return codec.encode(rows, 100 + k, 10_000 + k, 20_000 + k)


def official_message(codec: RowCodec):
    files = descriptor_pb2.FileDescriptorSet.FromString(codec.schema())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"gimbal.{codec.message}"))


def assert_same(message, row: np.void, dtype: np.dtype, path: str = "") -> None:
    """Walk the official parser's message and the numpy row together."""
    for name in dtype.names or ():
        base, shape = dtype[name].subdtype or (dtype[name], ())
        got, want = getattr(message, name), row[name]
        if base.names is not None:
            elements = [(got, want)] if not shape else list(zip(got, want.reshape(-1), strict=True))
            for inner, record in elements:
                assert_same(inner, record, base, f"{path}{name}.")
            continue
        if isinstance(got, bytes):
            assert got == want.tobytes(), path + name
            continue
        values = np.array(got if shape else [got], base)
        assert values.tobytes() == np.asarray(want).tobytes() or _same_nan(values, want), path + name


def _same_nan(values: np.ndarray, want: np.ndarray) -> bool:
    """Python floats may quieten a signalling NaN; the numpy decoder, tested apart, does not."""
    return values.dtype.kind == "f" and np.array_equal(values, np.asarray(want).reshape(-1), equal_nan=True)


@pytest.mark.parametrize("dtype", [TICK, MIXED, state_record(TICK)], ids=["tick", "mixed", "state"])
@pytest.mark.parametrize("n", [0, 1, 257])
def test_round_trip_is_bit_for_bit(dtype, n):
    codec = RowCodec(dtype, "Thing", channel=3)
    rows = random_rows(dtype, n, seed=n)
    encoded = encode(codec, rows)
    decoded, headers = codec.decode(encoded.tobytes())
    assert decoded.dtype == dtype and decoded.tobytes() == rows.tobytes()
    assert headers["seq"].tolist() == list(range(100, 100 + n))
    assert headers["log_ns"].tolist() == list(range(10_000, 10_000 + n))
    assert headers["publish_ns"].tolist() == list(range(20_000, 20_000 + n))


@pytest.mark.parametrize("dtype", [TICK, MIXED, state_record(TICK)], ids=["tick", "mixed", "state"])
def test_the_official_parser_reads_the_same_values(dtype):
    codec = RowCodec(dtype, "Thing")
    rows = random_rows(dtype, 20, seed=5)
    rows[0] = np.zeros(1, dtype)[0]
    message_class = official_message(codec)
    for row, encoded in zip(rows, encode(codec, rows), strict=True):
        message = message_class.FromString(encoded[MESSAGE_HEADER.itemsize :].tobytes())
        assert_same(message, row, dtype)


@given(st.integers(0, 2**32), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_any_dtype_round_trips(seed, fields):
    """Layouts drawn at random, nested up to three deep."""
    rng = np.random.default_rng(seed)

    def draw(depth: int) -> np.dtype:
        out = []
        for k in range(fields):
            shape = tuple(rng.integers(1, 4, rng.integers(0, 3)).tolist())
            plain = rng.choice(["f8", "f4", "i8", "u8", "i4", "u4", "i2", "u2", "i1", "u1", "?"])
            inner = draw(depth + 1) if depth < 2 and rng.random() < 0.15 else plain
            out.append((f"f{k}", inner, shape))
        return np.dtype(out, align=bool(rng.integers(0, 2)))

    dtype = draw(0)
    assert dtypes.build(dtypes.describe(dtype)) == dtype
    codec = RowCodec(dtype, "Drawn")
    rows = random_rows(dtype, 3, seed)
    encoded = encode(codec, rows)
    assert codec.decode(encoded.tobytes())[0].tobytes() == rows.tobytes()
    message = official_message(codec).FromString(encoded[1, MESSAGE_HEADER.itemsize :].tobytes())
    assert_same(message, rows[1], dtype)


def test_padding_is_not_carried():
    rows = random_rows(MIXED, 4, seed=1)
    dirty = rows.copy()
    dirty.view(np.uint8).reshape(4, -1)[:, ~dtypes.byte_mask(MIXED)] = 0xAA
    codec = RowCodec(MIXED, "Thing")
    assert codec.decode(encode(codec, dirty).tobytes())[0].tobytes() == rows.tobytes()


def test_every_field_lies_where_the_description_says():
    """``leaves`` covers each byte of each field once, and ``field_at`` finds it by name and index."""
    assert sum(leaf.size for leaf in dtypes.leaves(TICK)) == int(dtypes.byte_mask(TICK).sum())
    row = np.zeros(1, TICK)
    row["sense"]["imu_gyro_I"][0, 2, 1] = 4.5
    byte = int(np.flatnonzero(row.view(np.uint8))[0])
    path, leaf, element = dtypes.field_at(TICK, byte)
    assert path == "sense.imu_gyro_I[2,1]" and dtypes.value_at(row, leaf, element) == 4.5
    without = dtypes.byte_mask(TICK, exclude=("timing",))
    timing = TICK.fields["timing"]
    assert without[: timing[1]].any() and not without[timing[1] : timing[1] + timing[0].itemsize].any()


def test_layout_differences_are_named():
    other = np.dtype([("tick", "u8"), ("t_ns", "i4"), ("extra", "f8")])
    base = np.dtype([("tick", "u8"), ("t_ns", "i8")])
    assert dtypes.missing_fields(base, other) == ["extra", "t_ns"]
    assert dtypes.dtype_hash(base) != dtypes.dtype_hash(other) != dtypes.dtype_hash(TICK)


def test_what_protobuf_has_no_type_for_is_refused():
    with pytest.raises(TypeError, match="field a.z is of type complex128"):
        RowCodec(np.dtype([("a", [("z", "c16")])]), "Bad")
    with pytest.raises(ValueError, match="whole"):
        RowCodec(TICK, "Tick").decode(b"123")
    with pytest.raises(ValueError, match="message 0"):
        codec = RowCodec(MIXED, "Thing")
        codec.decode(bytes(codec.stride))
