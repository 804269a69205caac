"""Record layouts as data: describe a numpy dtype in JSON, build it back, walk its leaves, tell bytes from padding.

A ring's readers and a log's readers get the writer's layout from here, so that neither needs the writer's source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np


class Leaf(NamedTuple):
    """One plain field of a nested record. ``offset`` and ``dtype.itemsize`` in bytes; ``shape`` () for a scalar."""

    path: str
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes the whole field takes."""
        return int(np.prod(self.shape, dtype=int)) * self.dtype.itemsize


def describe(dtype: np.dtype) -> Any:
    """JSON-able description of a dtype: a string for a plain one, else a dict with fields in order and the itemsize."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"array": describe(base), "shape": list(shape)}
    if dtype.names is None:
        return dtype.str
    fields = []
    for name in dtype.names:
        fields.append([name, describe(dtype.fields[name][0]), int(dtype.fields[name][1])])  # type: ignore[index]
    return {"fields": fields, "itemsize": dtype.itemsize, "aligned": bool(dtype.isalignedstruct)}


def build(description: Any) -> np.dtype:
    """The dtype a description stands for. Raises ValueError or TypeError where it stands for none."""
    if isinstance(description, str):
        return np.dtype(description)
    if "array" in description:
        return np.dtype((build(description["array"]), tuple(description["shape"])))
    names, formats, offsets = zip(*((f[0], build(f[1]), f[2]) for f in description["fields"]))
    spec = {"names": names, "formats": formats, "offsets": offsets, "itemsize": description["itemsize"]}
    return np.dtype(spec, align=bool(description.get("aligned")))  # type: ignore[call-overload]


def dtype_hash(dtype: np.dtype) -> int:
    """64-bit hash of a layout: names, types, offsets."""
    text = json.dumps(describe(dtype), sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def leaves(dtype: np.dtype, path: str = "", offset: int = 0) -> Iterator[Leaf]:
    """Every plain field, in order of declaration. An array of records gives one set of leaves per element."""
    shape: tuple[int, ...] = ()
    if dtype.subdtype is not None:
        dtype, shape = dtype.subdtype
    if dtype.names is None:
        yield Leaf(path, offset, dtype, shape)
        return
    for k, index in enumerate(np.ndindex(*shape)):
        element = f"{path}[{','.join(map(str, index))}]" if shape else path
        for name in dtype.names:
            child, child_offset = dtype.fields[name][:2]  # type: ignore[index]
            child_path = f"{element}.{name}" if element else name
            yield from leaves(child, child_path, offset + k * dtype.itemsize + child_offset)


def byte_mask(dtype: np.dtype, exclude: tuple[str, ...] = ()) -> np.ndarray:
    """bool (itemsize,): True for bytes that belong to a field not below a top-level name in ``exclude``.

    Padding is False: what lies there is nobody's business.
    """
    mask = np.zeros(dtype.itemsize, bool)
    for leaf in leaves(dtype):
        if leaf.path.split(".")[0].split("[")[0] not in exclude:
            mask[leaf.offset : leaf.offset + leaf.size] = True
    return mask


def field_at(dtype: np.dtype, byte: int) -> tuple[str, Leaf, int]:
    """The field that holds ``byte``: (path with element index, leaf, flat element index)."""
    for leaf in leaves(dtype):
        if leaf.offset <= byte < leaf.offset + leaf.size:
            element = (byte - leaf.offset) // leaf.dtype.itemsize
            index = ",".join(str(i) for i in np.unravel_index(element, leaf.shape)) if leaf.shape else ""
            return (f"{leaf.path}[{index}]" if index else leaf.path), leaf, element
    return f"padding at byte {byte}", Leaf("", byte, np.dtype("u1"), ()), 0


def value_at(row: np.ndarray, leaf: Leaf, element: int) -> Any:
    """The element's value as a Python scalar. ``row``: one-element array."""
    start = leaf.offset + element * leaf.dtype.itemsize
    raw = np.ascontiguousarray(row).view(np.uint8).reshape(-1)[start : start + leaf.dtype.itemsize]
    return raw.copy().view(leaf.dtype)[0].item()


def missing_fields(have: np.dtype, want: np.dtype) -> list[str]:
    """Field paths that differ between two layouts (in one only, or of another type or shape), sorted."""
    a = {leaf.path: (leaf.dtype.str, leaf.shape) for leaf in leaves(have)}
    b = {leaf.path: (leaf.dtype.str, leaf.shape) for leaf in leaves(want)}
    return sorted(p for p in a.keys() | b.keys() if a.get(p) != b.get(p))
