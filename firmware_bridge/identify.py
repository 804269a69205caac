"""Who answers on a port? Listens first, then asks each known device's own question. Nothing moves, nothing is stored.

Order: what is heard without asking is recognised by its frames; then the binary questions, whose checksums no other
device takes; then the text ones, SimpleFOC's first, since its letters belong to the sketch. An IMU that its question
brings into its configuration mode is sent back to measuring.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from firmware_bridge import registry
from firmware_bridge.errors import BridgeError, OptionError
from firmware_bridge.interface import AXIS_NAMES, Capabilities, Identity
from firmware_bridge.port_facts import knows_baud
from firmware_bridge.transport import SerialTransport, Transport

LISTEN_S, ASK_S = 1.2, 0.6
HEARD_BAUDS = (115200, 921600, 38400, 9600, 57600, 19200, 420000)
_MOTOR: dict[str, object] = {"torque_constant_Nm_A": 1.0}
_IDS = (1, 2, 3)  # tried where a bus has addresses and none is named


@dataclass(frozen=True)
class Question:
    driver: str
    bauds: tuple[int, ...]
    options: dict[str, object] = field(default_factory=dict)
    hints: str = ""  # words in the port's name that bring this question forward
    before: bytes = b""  # ends what an earlier question may have begun in the device's parser
    after: bytes = b""  # sent when the question has been answered


QUESTIONS = (
    Question("ublox", (38400, 115200, 9600), hints="u-blox|ublox"),
    Question("mip", (115200, 921600), hints="microstrain|lord|parker", after=bytes.fromhex("756501020206e5cb")),
    Question("xsens", (115200, 921600), hints="xsens|movella", after=bytes.fromhex("faff1000f1")),
    Question("vectornav", (115200, 921600), hints="vectornav"),
    Question("vesc", (115200,), {**_MOTOR, "pole_pairs": 7}, hints="vesc|chibios", before=bytes(520)),
    Question("sbgc", (115200,), hints="basecam|sbgc|cp210"),
    Question("storm32", (115200,), hints="storm"),
    Question("mavlink_gimbal", (115200, 57600, 921600), hints="gremsy|mavlink"),
    Question("dynamixel", (57600, 1000000, 3000000, 4000000), _MOTOR, hints="u2d2|robotis|ft232h"),
    Question("simplefoc", (115200,), {**_MOTOR, "max_current_A": 1.0}, hints="arduino|nucleo|stlink"),
    Question("moteus", (921600,), hints="fdcanusb|mjbots"),
    Question("odrive", (115200,), {**_MOTOR, "roll_id": 0}, hints="odrive"),
    Question("fanet", (115200,), {"id": "01:0001"}, hints="fanet|skytraxx"),
    Question("sbus", (100000,)),  # it can't be asked, only listened to
)
# What talks without being asked: frames that name the sender. Order matters where one is part of another.
_HEARD: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("vectornav", re.compile(rb"\$VN[A-Z]{3},|\xfa\x01[\x00-\xff]")),
    ("xsens", re.compile(rb"\xfa\xff\x36")),
    ("mip", re.compile(rb"ue[\x80\x82]")),
    ("ublox", re.compile(rb"\xb5b[\x01\x02\x05\x0a]")),
    ("flarm", re.compile(rb"\$PFLA[AU],")),
    ("fanet", re.compile(rb"#FN[FR]")),
    ("nmea", re.compile(rb"\$G[NPLAB][A-Z]{3},[^\r\n]*\*[0-9A-F]{2}\r\n")),
    ("bno08x_rvc", re.compile(rb"\xaa\xaa[\x00-\xff]{17}\xaa\xaa")),
    ("witmotion", re.compile(rb"\x55[\x50-\x5a][\x00-\xff]{9}\x55[\x50-\x5a]")),
    ("crsf", re.compile(rb"\xc8\x18\x16")),
    ("mavlink_gimbal", re.compile(rb"\xfd[\x09-\xff]\x00\x00")),
    ("mavlink_beacon", re.compile(rb"\xfd[\x09-\xff]\x00\x00")),  # heard, and no gimbal answers
)
_CONFIRMED_BY_ASKING = {q.driver: q for q in QUESTIONS}
_TOLD = {q.driver for q in QUESTIONS} | {name for name, _ in _HEARD}
_LISTENERS = ("nmea", "bno08x_rvc", "witmotion", "crsf")


@dataclass(frozen=True)
class Answer:
    """What answered: ``options`` are those it was found with (the axes' ids in order of discovery)."""

    driver: str
    kind: str
    baud: int
    identity: Identity
    capabilities: Capabilities | None
    options: dict[str, object]
    heard_only: bool = False  # recognised by its frames, not asked


class _OneSpeed(SerialTransport):
    """Drivers look for their device at several speeds, and set it to theirs; here the caller chooses the speed."""

    def set_baud(self, baud: int) -> None:
        pass

    def go(self, baud: int) -> None:
        super().set_baud(baud)


def identify(path: str, baud: int | None = None, ids: tuple[int, ...] = _IDS, only: str = "",
             say: Callable[[str], None] = lambda text: None) -> Answer | None:  # fmt: skip
    """The first device that is recognised on this port, or None. ``only``: a driver's name.

    Raises:
        PortError: the port can't be opened. OptionError: no driver is called ``only``.
    """
    if only:
        registry.entry(only)
    transport = _OneSpeed(path, baud or 115200)
    try:
        any_speed = baud is not None or not knows_baud(path)
        heard = _listen(transport, (int(transport.baud),) if any_speed else HEARD_BAUDS, say)
        for name in heard:
            if only in ("", name) and (answer := _confirm(transport, name, ids)):
                return answer
        for question in _ordered(path, only):
            for speed in (int(transport.baud),) if any_speed else question.bauds:
                say(f"asking for {question.driver} at {speed} baud")
                transport.go(speed)
                if answer := _ask(transport, question, ids):
                    return answer
        if only and only not in _TOLD:  # a package's own device: its driver is asked as it is
            return _try(transport, only, {}, LISTEN_S)
    finally:
        transport.close()
    return None


def _ordered(path: str, only: str) -> list[Question]:
    hinted = [q for q in QUESTIONS if q.hints and re.search(q.hints, path, re.IGNORECASE)]
    return [q for q in (*hinted, *(q for q in QUESTIONS if q not in hinted)) if only in ("", q.driver)]


def _listen(transport: _OneSpeed, bauds: tuple[int, ...], say: Callable[[str], None]) -> list[str]:
    """Names whose frames are heard, at the first speed that gives any; the transport stays there."""
    for baud in bauds:
        say(f"listening at {baud} baud")
        transport.go(baud)
        transport.discard_input()
        data, end_ns = b"", transport.clock() + int(LISTEN_S * 1e9)
        while transport.clock() < end_ns and len(data) < 4000 and not transport.lost:
            transport.wait(0.02)
            data += transport.read()
            if len(data) > 40 and (names := [name for name, pattern in _HEARD if pattern.search(data)]):
                return names
    return []


def _confirm(transport: _OneSpeed, name: str, ids: tuple[int, ...]) -> Answer | None:
    """The heard device asked, where there is a question for it; else its driver listens."""
    if name == "nmea" and (answer := _ask(transport, _CONFIRMED_BY_ASKING["ublox"], ids)):
        return answer  # as delivered it sends NMEA, and answers in UBX
    if name in _CONFIRMED_BY_ASKING:
        return _ask(transport, _CONFIRMED_BY_ASKING[name], ids)
    kind, baud = registry.entry(name).kind, int(transport.baud)
    if name in _LISTENERS:
        return _try(transport, name, {}, ASK_S)
    return Answer(name, kind, baud, Identity(name, "heard"), None, {}, heard_only=True)


def _ask(transport: _OneSpeed, question: Question, ids: tuple[int, ...]) -> Answer | None:
    answer = None
    if question.before:
        transport.write(question.before)
    for options in _addresses(transport, question, ids):
        answer = _try(transport, question.driver, options, ASK_S) or answer
    if answer and question.after:
        transport.write(question.after)
    return answer


def _addresses(transport: _OneSpeed, question: Question, ids: tuple[int, ...]) -> Iterator[dict[str, object]]:
    """Options to try, each found more exact than the one before."""
    name, options = question.driver, question.options
    if name in ("moteus", "dynamixel"):
        there = [i for i in ids if _try(transport, name, {**options, "roll_id": i}, ASK_S / 2)]
        if there:
            yield {**options, **{f"{axis}_id": i for axis, i in zip(AXIS_NAMES, there)}}
    elif name == "vesc":
        local = _hint(transport, name, {**options, "roll_id": 254}, lambda driver: driver.codec.local_id)
        if local is not None:
            yield {**options, "roll_id": local}
    elif name == "simplefoc":
        letters = _hint(transport, name, {**options, "letters": "M", "roll_id": 0}, lambda d: list(d.codec.scan))
        for letter in (letter.decode("ascii", "replace") for letter in letters or ()):
            if letter.isascii() and letter.isalpha():
                yield {**options, "letters": letter, "roll_id": 0}
                return
    elif name == "sbgc":  # an old board knows frames of version 1 only
        known = (v for v in (2, 1) if _try(transport, name, {**options, "protocol": v}, ASK_S / 2))
        yield from ({**options, "protocol": version} for version in islice(known, 1))
    else:
        yield options


def _hint(transport: Transport, name: str, options: dict[str, object], read: Callable[[Any], Any]) -> Any:
    """What a driver has learnt although the device wasn't the one it looked for."""
    driver = registry.create_driver(name)
    try:
        driver.attach(transport, options)
        driver.identify(ASK_S / 2)
    except OptionError:
        raise
    except BridgeError:
        pass
    return read(driver)


def _try(transport: Transport, name: str, options: dict[str, object], timeout_s: float) -> Answer | None:
    driver = registry.create_driver(name)
    try:
        driver.attach(transport, options)
        identity = driver.identify(timeout_s)
    except OptionError:
        raise  # a defect of the table above, not a silent device
    except BridgeError:
        return None
    return Answer(name, registry.entry(name).kind, int(transport.baud), identity, driver.capabilities, dict(options))
