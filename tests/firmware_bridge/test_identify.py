"""Who answers on a port: every emulator is told from the others over a pty, and nothing is commanded on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge import identify, registry
from firmware_bridge.emulators.gimbal_physics import FreeGimbal
from firmware_bridge.emulators.line import make_line
from firmware_bridge.emulators.physics import Fix, FreeAxis, HeldSticks, StillImu, StraightFlight
from firmware_bridge.emulators.pty_host import Host
from firmware_bridge.port_facts import facts, latency_ms, list_ports
from firmware_bridge.serial_port import latency_note
from gimbal.__main__ import main
from tests.contract.motor_benches import setup_of
from tests.contract.sensor_benches import sensor_setup
from tests.firmware_bridge.serving import served


class UntouchedAxis(FreeAxis):
    """Notes every command that is more than off."""

    driven = 0

    def set_command(self, drive: Any, t_ns: int) -> None:
        self.driven += drive.mode != 0
        super().set_command(drive, t_ns)


class UntouchedGimbal(FreeGimbal):
    driven = 0

    def drive(self, commands: Any, t_ns: int) -> None:
        self.driven += commands is not None and any(command.kind for command in commands)
        super().drive(commands, t_ns)


def plugged(tmp_path: Path, name: str) -> tuple[Host, list[Any]]:
    """An emulator of ``name`` on the pty tmp_path/port."""
    entry, setup = registry.entry(name), setup_of(name)
    options: dict[str, object] = dict(setup.options if entry.kind == "motor" else sensor_setup(name).options)
    physics: Any = {
        "motor": lambda: [UntouchedAxis() for _ in range(setup.axes)], "imu": StillImu, "radio": HeldSticks,
        "gimbal": UntouchedGimbal, "position": lambda: StraightFlight(Fix()),
    }[entry.kind]()  # fmt: skip
    host = Host(tmp_path)
    host.add_pty("port", registry.load_emulator(name)(physics, options), lambda: make_line(entry.line, entry.baud))
    return host, physics if isinstance(physics, list) else [physics]


@pytest.fixture(autouse=True)
def brief(monkeypatch, request):
    monkeypatch.setattr(identify, "LISTEN_S", 0.15)
    if "in_turn" not in request.node.name and "silent" not in request.node.name:
        monkeypatch.setattr(identify, "ASK_S", 4.0)  # a busy machine's emulator; what answers ends the wait


ASKED = ["ublox", "mip", "xsens", "vectornav", "vesc", "sbgc", "storm32", "mavlink_gimbal", "dynamixel", "simplefoc",
         "moteus", "odrive", "fanet"]  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_each_device_is_known_by_its_own_answer(tmp_path, name):
    host, physics = plugged(tmp_path, name)
    with served(host):
        answer = identify.identify(str(tmp_path / "port"), only=name)
    assert answer is not None and answer.driver == name and not answer.heard_only
    assert answer.identity.model or answer.identity.firmware
    assert answer.capabilities is not None and answer.capabilities.max_rate_hz > 0 and answer.capabilities.budget
    assert all(getattr(one, "driven", 0) == 0 for one in physics), "a question moved something"


def test_an_old_board_is_asked_in_the_older_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(identify, "ASK_S", 1.2)
    host, physics = Host(tmp_path), UntouchedGimbal()
    host.add_pty("port", registry.load_emulator("sbgc")(physics, {"old": True, "firmware": 2620, "extended": False}))
    with served(host):
        answer = identify.identify(str(tmp_path / "port"), only="sbgc")
    assert answer is not None and answer.identity.firmware == "2.62.0" and answer.options == {"protocol": 1}
    assert physics.driven == 0


@pytest.mark.parametrize("name", ["bno08x_rvc", "witmotion", "crsf", "sbus"])
def test_what_only_sends_is_recognised_by_its_frames(tmp_path, name):
    host, _ = plugged(tmp_path, name)
    with served(host):
        answer = identify.identify(str(tmp_path / "port"), only=name)
    assert answer is not None and answer.driver == name


@pytest.mark.parametrize("name,ids", [("moteus", {"roll_id": 1, "pitch_id": 2, "yaw_id": 3}), ("vesc", {"roll_id": 1})])
def test_all_questions_in_turn_end_at_the_right_one_and_move_nothing(tmp_path, name, ids):
    host, physics = plugged(tmp_path, name)
    asked: list[str] = []
    with served(host):
        answer = identify.identify(str(tmp_path / "port"), say=asked.append)
    assert answer is not None and answer.driver == name
    assert {key: value for key, value in answer.options.items() if key.endswith("_id")} == ids
    assert sum("asking" in text for text in asked) >= 3
    assert all(axis.driven == 0 and axis.angle_rad == 0.0 for axis in physics)


def test_an_imu_measures_on_after_being_asked(tmp_path):
    host, _ = plugged(tmp_path, "xsens")
    with served(host):
        assert identify.identify(str(tmp_path / "port"), only="xsens") is not None
        again = identify.identify(str(tmp_path / "port"))  # found by listening: it streams
        assert again is not None and again.driver == "xsens"
        heard: list[str] = []
        identify.identify(str(tmp_path / "port"), say=heard.append)
        assert not any("asking" in text for text in heard)


def test_probe_prints_device_firmware_capabilities_and_rates(tmp_path, capsys):
    host, _ = plugged(tmp_path, "vectornav")
    with served(host):
        assert main(["devices", "probe", str(tmp_path / "port"), "--baud", "921600"]) == 0
        text = capsys.readouterr().out
        assert all(word in text for word in ("vectornav", "VN-100", "2.1.0.0", "800 Hz at most", "bytes a sample"))
        assert main(["devices", "probe", str(tmp_path / "port"), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)["ports"][0]
    assert told["answer"]["driver"] == "vectornav" and told["answer"]["max_rate_hz"] == pytest.approx(288, abs=1)


def test_a_silent_port_and_an_absent_one_are_told_apart(tmp_path, capsys):
    host = Host(tmp_path)
    host.add_pty("port", registry.load_emulator("bno08x_rvc")(StillImu(), {}))
    host.wires["port"].frozen = True
    with served(host):
        assert main(["devices", "probe", str(tmp_path / "port"), "--driver", "sbgc"]) == 1
    assert "nothing answers" in capsys.readouterr().out
    assert main(["devices", "probe", str(tmp_path / "absent")]) == 1
    assert "is not there" in capsys.readouterr().err


def adapter(root: Path, timer: str) -> None:
    """/sys of one FTDI adapter as ttyUSB7."""
    device = root / "devices/usb1/1-2"
    tty = device / "1-2:1.0/ttyUSB7"
    tty.mkdir(parents=True)
    for key, value in {"idVendor": "0403", "idProduct": "6014", "manufacturer": "FTDI", "product": "U2D2",
                       "serial": "FT4"}.items():  # fmt: skip
        (device / key).write_text(value + "\n")
    (tty / "latency_timer").write_text(timer + "\n")
    (root / "class/tty/ttyUSB7").mkdir(parents=True)
    (root / "class/tty/ttyUSB7/device").symlink_to(tty)


@pytest.mark.parametrize("timer,slow", [("16", True), ("1", False)])
def test_the_latency_timer_is_read_back_from_the_kernel(tmp_path, timer, slow):
    adapter(tmp_path, timer)
    assert latency_ms("/dev/ttyUSB7", str(tmp_path)) == int(timer)
    assert latency_ms("/dev/ttyACM0", str(tmp_path)) is None
    assert bool(latency_note("/dev/ttyUSB7", int(timer))) == slow
    known = facts("/dev/ttyUSB7", str(tmp_path))
    assert known.usb == "FTDI U2D2 FT4" and known.usb_id == "0403:6014"


def test_ports_are_listed_once_by_their_lasting_name(tmp_path):
    by_id, dev = tmp_path / "by-id", tmp_path / "dev"
    by_id.mkdir()
    dev.mkdir()
    for name in ("ttyUSB0", "ttyACM0"):
        (dev / name).touch()
    (by_id / "usb-FTDI_U2D2").symlink_to(dev / "ttyUSB0")
    ports = list_ports(str(by_id), str(dev), str(tmp_path / "sys"))
    assert [Path(port.path).name for port in ports] == ["usb-FTDI_U2D2", "ttyACM0"]
    assert [Path(port.device).name for port in ports] == ["ttyUSB0", "ttyACM0"]


def test_the_rules_name_what_they_match():
    rules = (Path(__file__).parents[2] / "packaging/70-gimbal.rules").read_text().splitlines()
    lines = [line for line in rules if line and not line.startswith("#")]
    assert all('=="' in line.split(",")[0] for line in lines)
    assert sum("latency_timer" in line for line in lines) == 1
    assert all('GROUP="dialout"' in line and "ID_MM_DEVICE_IGNORE" in line for line in lines if '"tty"' in line)
