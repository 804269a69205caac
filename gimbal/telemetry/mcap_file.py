"""The MCAP container (mcap.dev, specification version 0), written a whole chunk at a time and read front to back.

The ``mcap`` package serialises the small records; chunks are put together here because its writer takes one message at
a time. A chunk holds messages of one channel, all of one length, and its zstd frame carries a checksum. A file
without its end (killed writer) is read as far as it is whole.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zstandard
from mcap import records
from mcap.data_stream import ReadDataStream, RecordBuilder
from mcap.opcode import Opcode

MAGIC = b"\x89MCAP0\r\n"
ZSTD_LEVEL = 1  # on rows of the reference rig: level 1 0.53 of the size at 3.5 us a row, level 3 the same size at 9 us
MAX_RECORD = 1 << 30  # a longer one is damage
INDEX_ENTRY = np.dtype([("log_ns", "<u8"), ("offset", "<u8")])


class McapWriter:
    """Writes one file. After an OSError of any call the file is cut back to its last whole record and stays open."""

    def __init__(self, path: Path, profile: str, library: str) -> None:
        """Makes the file; raises FileExistsError rather than touch one that is there, OSError."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self.size = 0
        self._compress = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
        self._schemas: list[records.Schema] = []
        self._channels: list[records.Channel] = []
        self._chunks: list[records.ChunkIndex] = []
        self._attachments: list[records.AttachmentIndex] = []
        self._metadata: list[records.MetadataIndex] = []
        self._counts: dict[int, int] = {}
        self._put(MAGIC + _bytes(records.Header(profile, library)))

    def fileno(self) -> int:
        """The open file, for fstatvfs."""
        return self._file

    def _put(self, data: bytes) -> int:
        """Append; returns the offset it went to."""
        start = self.size
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, start)
                os.lseek(self._file, start, os.SEEK_SET)
            raise
        self.size = start + len(data)
        return start

    def add_channel(self, topic: str, schema_name: str, schema: bytes, metadata: dict[str, str]) -> int:
        """A channel of protobuf messages with its schema; returns its id."""
        number = len(self._channels) + 1
        schema_record = records.Schema(id=number, name=schema_name, encoding="protobuf", data=schema)
        channel = records.Channel(number, topic, "protobuf", metadata, number)
        self._put(_bytes(schema_record, channel))
        self._schemas.append(schema_record)
        self._channels.append(channel)
        return number

    def attach(self, name: str, media_type: str, data: bytes) -> None:
        """An attachment: a small file inside the log."""
        record = _bytes(records.Attachment(0, 0, name, media_type, data))
        at = self._put(record)
        self._attachments.append(records.AttachmentIndex(at, len(record), 0, 0, len(data), name, media_type))

    def add_metadata(self, name: str, values: dict[str, str]) -> None:
        """A named set of strings."""
        record = _bytes(records.Metadata(name, values))
        self._metadata.append(records.MetadataIndex(self._put(record), len(record), name))

    def write_chunk(self, channel: int, messages: np.ndarray, log_ns: np.ndarray) -> None:
        """(n, stride) uint8 message records of one channel as one chunk with its index. log_ns: (n,), their times."""
        raw = messages.tobytes()
        start, end = int(log_ns.min()), int(log_ns.max())
        packed = self._compress.compress(raw)
        chunk = _bytes(records.Chunk("zstd", packed, end, start, 0, len(raw)))
        entries = np.zeros(len(messages), INDEX_ENTRY)
        entries["log_ns"], entries["offset"] = log_ns, np.arange(len(messages)) * messages.shape[1]
        index = entries.tobytes()
        length = 6 + len(index)
        index_record = struct.pack("<BQHI", Opcode.MESSAGE_INDEX, length, channel, len(index)) + index
        at = self._put(chunk + index_record)
        place = {channel: at + len(chunk)}
        self._chunks.append(
            records.ChunkIndex(len(chunk), at, "zstd", len(packed), end, len(index_record), place, start, len(raw))
        )
        self._counts[channel] = self._counts.get(channel, 0) + len(messages)

    def sync(self) -> None:
        """Everything written is on the disk when this returns."""
        os.fdatasync(self._file)

    def finish(self) -> None:
        """Write the summary and the footer. The file is complete after this."""
        end = _bytes(records.DataEnd(0))
        groups: list[list[Any]] = [
            self._schemas,
            self._channels,
            [self._statistics()],
            self._chunks,
            self._attachments,
            self._metadata,
        ]
        start = self.size + len(end)
        summary, offsets = b"", b""
        for group in groups:
            if group:
                body = _bytes(*group)
                offsets += _bytes(records.SummaryOffset(body[0], start + len(summary), len(body)))
                summary += body
        offset_start = start + len(summary)
        summary += offsets + struct.pack("<BQQQ", Opcode.FOOTER, 20, start, offset_start)
        self._put(end + summary + struct.pack("<I", zlib.crc32(summary)) + MAGIC)

    def _statistics(self) -> records.Statistics:
        return records.Statistics(
            attachment_count=len(self._attachments),
            channel_count=len(self._channels),
            channel_message_counts=self._counts,
            chunk_count=len(self._chunks),
            message_count=sum(self._counts.values()),
            message_end_time=max((c.message_end_time for c in self._chunks), default=0),
            message_start_time=min((c.message_start_time for c in self._chunks), default=0),
            metadata_count=len(self._metadata),
            schema_count=len(self._schemas),
        )

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Record(NamedTuple):
    """A record of the data section: opcode, offset in the file, content."""

    opcode: int
    at: int
    content: bytes


class Damaged(Exception):
    """The bytes from ``at`` on are no MCAP records. ``cut``: the file simply ends too early (a killed writer)."""

    def __init__(self, at: int, why: str, cut: bool = False) -> None:
        super().__init__(f"at byte {at}: {why}")
        self.at, self.cut = at, cut


def read_records(file: io.BufferedReader) -> Iterator[Record]:
    """Records of the data section, front to back, up to its end record.

    Raises:
        Damaged: where the file stops being whole.
    """
    size = os.fstat(file.fileno()).st_size
    at = len(MAGIC)
    file.seek(at)
    while True:
        head = file.read(9)
        if len(head) < 9:
            raise Damaged(at, "the file ends without its end record", cut=True)
        opcode, length = struct.unpack("<BQ", head)
        if not 1 <= opcode <= 15 or length > MAX_RECORD:
            raise Damaged(at, f"no record starts here (opcode {opcode}, length {length})")
        if at + 9 + length > size:
            raise Damaged(at, "the last record is cut", cut=True)
        content = file.read(length)
        yield Record(opcode, at, content)
        if opcode == Opcode.DATA_END:
            return
        at += 9 + length


def parse(kind: type, content: bytes):  # type: ignore[no-untyped-def]
    """The content of a record as the mcap package's class ``kind``."""
    return kind.read(ReadDataStream(io.BytesIO(content)))  # type: ignore[attr-defined]


def chunk_bytes(record: Record) -> bytes:
    """Decompressed messages of a chunk record. Raises Damaged where size or checksum is wrong."""
    try:
        chunk = parse(records.Chunk, record.content)
        if chunk.compression != "zstd" or chunk.uncompressed_size > MAX_RECORD:
            raise Damaged(record.at, f"a chunk of compression '{chunk.compression}'")
        data = zstandard.ZstdDecompressor().decompress(chunk.data, max_output_size=chunk.uncompressed_size)
    except (zstandard.ZstdError, struct.error, UnicodeDecodeError, MemoryError) as error:
        raise Damaged(record.at, f"the chunk can't be unpacked ({error})") from error
    if len(data) != chunk.uncompressed_size:
        raise Damaged(record.at, "the chunk is shorter than it says")
    return data


def _bytes(*items: records.McapRecord) -> bytes:
    builder = RecordBuilder()
    for item in items:
        item.write(builder)
    return builder.end()
