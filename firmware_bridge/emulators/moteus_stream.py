"""A moteus controller's diagnostic stream: text lines tunnelled through CAN frames, as ``moteus_tool`` speaks them.

``conf`` for the settings that the emulator heeds, ``tel`` for the two channels that say who it is, ``d stop``. Written
from mjbots/moteus docs/protocol/{can,diagnostic}.md; the schemas are as moteus 1.1.1 reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from firmware_bridge.emulators.moteus_frames import take_varuint, varuint

CLIENT_DATA, SERVER_DATA, CLIENT_POLL = 0x40, 0x41, 0x42
MOST_WAITING, MAX_LINE = 8192, 256
_UINT, _OBJECT, _FIXED_ARRAY = 4, 16, 19
_SETTINGS = {  # name -> attribute of the servo, kind
    "servo.default_timeout_s": ("default_timeout_s", float),
    "servo.timeout_max_torque_Nm": ("timeout_max_torque_Nm", float),
    "servo.timeout_mode": ("timeout_mode", int),
    "id.id": ("can_id", int),
}


def _name(text: str) -> bytes:
    raw = text.encode()
    return varuint(len(raw)) + raw


def _schema(fields: list[tuple[str, int, int]]) -> bytes:
    """An object of unsigned integers: (name, bytes each, how many)."""
    out = bytes((_OBJECT, 0))
    for name, size, count in fields:
        kind = bytes((_UINT, size)) if count == 1 else bytes((_FIXED_ARRAY,)) + varuint(count) + bytes((_UINT, size))
        out += b"\0" + _name(name) + b"\0" + kind + b"\0"  # flags, name, no aliases, type, no default
    return out + b"\0" + _name("") + b"\0\0\0"


class Diagnostics:
    """One controller's stream. ``stop``: what ``d stop`` does."""

    def __init__(self, servo: Any, stop: Callable[[int], None]) -> None:
        self._servo, self._stop = servo, stop
        self._stored = self._settings()
        self.power_up()

    def power_up(self) -> None:
        self._line, self._waiting = b"", b""
        for name, value in self._stored.items():
            setattr(self._servo, _SETTINGS[name][0], value)

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self._servo, attribute) for name, (attribute, _) in _SETTINGS.items()}

    def frame(self, data: bytes, now_ns: int) -> bytes:
        """A whole frame of the stream; its answer. What is no such frame, or broken, has none."""
        try:
            channel, at = take_varuint(data, 1)
            size, at = take_varuint(data, at)
        except IndexError:
            return b""
        if channel != 1:
            return b""
        if data[0] == CLIENT_DATA:
            self._take(data[at : at + size], now_ns)
            return b""
        given, self._waiting = self._waiting[: min(size, 61)], self._waiting[min(size, 61) :]
        return bytes((SERVER_DATA,)) + varuint(channel) + varuint(len(given)) + given

    def _take(self, data: bytes, now_ns: int) -> None:
        *lines, self._line = (self._line + data).replace(b"\r", b"\n").split(b"\n")
        self._line = self._line[-MAX_LINE:]
        for line in lines:
            if words := line.decode("latin1").split():
                self._waiting = (self._waiting + self._answer(words, now_ns))[-MOST_WAITING:]

    def _answer(self, words: list[str], now_ns: int) -> bytes:
        if words[0] == "conf" and len(words) > 1:
            return self._conf(words[1], words[2:])
        if words[0] == "tel" and len(words) > 1:
            return self._tel(words[1], words[2:])
        if words == ["d", "stop"]:
            self._stop(now_ns)
            return b"OK\r\n"
        return b"ERR unknown command\r\n"

    def _conf(self, verb: str, words: list[str]) -> bytes:
        known = {name: str(value) for name, value in self._settings().items()}
        known |= {f"uuid.uuid.{i}": str(byte) for i, byte in enumerate(self._uuid())}
        if verb == "write":
            self._stored = self._settings()
        elif verb == "enumerate":
            group = words[0] + "." if words else ""
            found = [f"{name} {value}\r\n" for name, value in known.items() if name.startswith(group)]
            return "".join(found).encode() + b"OK\r\n" if found else b"ERR unknown group\r\n"
        elif verb == "get" and words:
            return f"{known[words[0]]}\r\n".encode() if words[0] in known else b"ERR error reading\r\n"
        elif verb == "set" and len(words) > 1:
            return self._set(words[0], words[1])
        else:
            return b"ERR unknown subcommand\r\n"
        return b"OK\r\n"

    def _set(self, name: str, text: str) -> bytes:
        try:
            attribute, kind = _SETTINGS[name]
            value = kind(text)
        except (KeyError, ValueError):
            return b"ERR error setting\r\n"
        if name == "id.id" and not 0 < value < 127 or not abs(value) < 1e6:
            return b"ERR error setting\r\n"
        setattr(self._servo, attribute, value)
        return b"OK\r\n"

    def _tel(self, verb: str, words: list[str]) -> bytes:
        channels = self._channels()
        if verb == "list":
            return "".join(f"{name}\r\n" for name in channels).encode() + b"OK\r\n"
        if verb in ("stop", "fmt", "rate"):
            return b"OK\r\n"
        if not words or words[0] not in channels:
            return b"ERR unknown name\r\n"
        schema, data = channels[words[0]]
        if verb not in ("schema", "get"):
            return b"ERR unknown subcommand\r\n"
        said, blob = ("schema", schema) if verb == "schema" else ("emit", data)
        return f"{said} {words[0]}\r\n".encode() + struct.pack("<I", len(blob)) + blob

    def _channels(self) -> dict[str, tuple[bytes, bytes]]:
        servo = self._servo
        firmware = struct.pack("<IIIII", servo.firmware, *servo.serial, 0x00010000)
        git = bytes(range(20)) + struct.pack("<BQ", 0, 1_700_000_000_000_000)
        return {
            "firmware": (_schema([("version", 4, 1), ("serial_number", 4, 3), ("model", 4, 1)]), firmware),
            "git": (_schema([("hash", 1, 20), ("dirty", 1, 1), ("timestamp", 8, 1)]), git),
        }

    def _uuid(self) -> bytes:
        return struct.pack("<IIII", *self._servo.serial, 0x4D4A42)
