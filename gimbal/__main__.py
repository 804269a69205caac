"""The command line. Each command parses its arguments and calls one function; heavy imports wait until then."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gimbal import __version__
from gimbal.errors import GimbalError
from gimbal.modes import Mode

MODES = ", ".join(mode.name.lower() for mode in Mode)

EXAMPLES = """examples:
  gimbal sim speedflight --mode track --seconds 30 --plot out.png
  gimbal run torque --emulate speedflight --arm --mode track --log logs
  gimbal ctl status
  gimbal replay logs/run.mcap --verify
"""


def _command(commands: argparse._SubParsersAction, name: str, help_: str, examples: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=help_,
        description=help_,
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_sim(commands: argparse._SubParsersAction) -> None:
    p = _command(
        commands,
        "sim",
        "lock-step simulation, faster than real time",
        "  gimbal sim speedflight\n  gimbal sim speedflight --mode track --track jump.csv --plot p.png\n",
    )
    p.add_argument("scenario", nargs="?", help="a path, or a name in configs/scenarios/")
    p.add_argument("--all", action="store_true", help="every scenario, full controller and plain PID")
    p.add_argument("--rig", help="a path, or a name in configs/rigs/ (default: the scenario's)")
    p.add_argument("--mode", help=f"{MODES} (default: the scenario's)")
    p.add_argument("--track", help="fly this track as the target: FlySight CSV or npz")
    p.add_argument("--seconds", type=float, help="length of the run (default: the scenario's)")
    p.add_argument("--seed", type=int, default=1, help="of every random part (default 1)")
    p.add_argument("--seeds", type=int, default=1, metavar="K", help="run seeds seed..seed+K-1, values RMS over them")
    p.add_argument("--controller", choices=("full", "pid"), help="pid: plain, no feed-forward (default full)")
    p.add_argument("--bound", action="store_true", help="beside the jitter: the least any linear controller can reach")
    p.add_argument("--worth", action="store_true", help="lock mode without each feed-forward term in turn, a table")
    p.add_argument("--log", metavar="FILE", help="write the log (MCAP)")
    p.add_argument("--plot", metavar="FILE", help="draw the run (PNG)")
    p.add_argument("--render", metavar="FILE", help="film the run as the camera sees it (.mp4, .avi); extra 'vision'")
    p.add_argument("--report", metavar="FILE", help="a page about the run: traces, spectra, motors, pixels (HTML)")
    p.add_argument("--json", metavar="FILE", help="write the figures")
    p.set_defaults(call="gimbal.sim:sim_command")


def _add_run(commands: argparse._SubParsersAction) -> None:
    p = _command(
        commands,
        "run",
        "the daemon: flies the gimbal until stopped",
        "  gimbal run torque --emulate speedflight --arm --mode track\n"
        "  gimbal run rigs/mine.toml --port imu=/dev/serial/by-id/usb-... --log logs\n",
    )
    p.add_argument("rig", help="a path, or a name in configs/rigs/")
    p.add_argument("--emulate", metavar="SCENARIO", help="start the emulators on ptys and link them")
    p.add_argument("--track", help="with --emulate: fly this track as the target")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--arm", action="store_true", help="arm after the self-test (default: starts disarmed)")
    p.add_argument("--mode", help=f"{MODES} (default: the emulated scenario's, else lock)")
    p.add_argument("--seconds", type=float, help="stop after this long (default: until SIGTERM or Ctrl-C)")
    p.add_argument("--log", metavar="DIR", help="record into this folder")
    p.add_argument("--port", metavar="NAME=PATH", action="append", default=[], help="port of a device")
    p.add_argument("--json", metavar="FILE", help="write the figures at the end")
    p.set_defaults(call="gimbal.run:run_command")


def _add_others(commands: argparse._SubParsersAction) -> None:
    p = _command(
        commands,
        "emulate",
        "only the emulators: prints name=path a line, then READY",
        "  gimbal emulate torque --scenario speedflight --dir /tmp/rig\n",
    )
    p.add_argument("rig")
    p.add_argument("--scenario", required=True)
    p.add_argument("--dir", required=True, help="folder for the port links")
    p.add_argument("--track")
    p.add_argument("--seed", type=int, default=1)
    p.set_defaults(call="gimbal.emulate:emulate_command")

    p = _command(
        commands,
        "ctl",
        "talk to the running daemon",
        "  gimbal ctl arm\n  gimbal ctl mode track\n  gimbal ctl rate 0 -5 10\n  gimbal ctl stop\n",
    )
    p.add_argument("verb", choices=("arm", "disarm", "stop", "ack", "mode", "rate", "point", "trim", "path", "status"))
    p.add_argument(
        "values",
        nargs="*",
        help="mode MODE; rate R P Y in deg/s; point N E D in m; trim RIGHT DOWN in deg; path record, stop, play",
    )
    p.add_argument("--rig", help="name of the rig, where several daemons run")
    p.add_argument("--json", metavar="FILE", help="write the answer")
    p.set_defaults(call="gimbal.ctl:ctl_command")

    p = _command(
        commands,
        "replay",
        "re-run the shipped step over a log and compare every byte",
        "  gimbal replay logs/run.mcap --verify\n",
    )
    p.add_argument("log")
    p.add_argument("--verify", action="store_true", help="exit 1 at the first differing tick and field")
    p.add_argument("--json", metavar="FILE", help="write the result")
    p.set_defaults(call="gimbal.replay.replay:replay_command")

    p = _command(
        commands, "demo", "the main job on the simulated rig, with a log, a plot and a summary", "  gimbal demo\n"
    )
    p.add_argument("--seconds", type=float, default=60.0)
    p.add_argument("--out", default="demo_out", help="folder for log, plot and summary")
    p.add_argument("--track", help="fly this track as the target")
    p.add_argument("--json", metavar="FILE", help="write the figures here too")
    p.set_defaults(call="gimbal.demo:demo_command")

    p = _command(commands, "warmup", "compile everything now, so that the next start is quick", "  gimbal warmup\n")
    p.set_defaults(call="gimbal.loop.warmup:warmup_command")

    p = _command(commands, "bench", "measure this machine", "  gimbal bench realtime --json bench.json\n")
    p.add_argument("what", choices=("realtime",))
    p.add_argument("--seconds", type=float, default=4.0, help="of a slice")
    p.add_argument("--slices", type=int, default=8)
    p.add_argument("--rate", type=float, default=1000.0, help="loop rate, Hz")
    p.add_argument("--json", metavar="FILE")
    p.set_defaults(call="gimbal.bench:bench_command")


def _add_vision(commands: argparse._SubParsersAction) -> None:
    p = _command(
        commands,
        "vision",
        "follow the subject in a camera's frames and send its bearings to the daemon; extra 'vision'",
        "  gimbal vision /dev/video0 --rig torque_camera --latency-ms 60\n"
        "  gimbal vision pass.mp4 --rig torque_camera --box 0.5 0.5 0.1 --json pass.json\n"
        "  gimbal vision emulated --rig torque_camera   # beside `gimbal run --emulate`\n",
    )
    p.add_argument("source", help="a camera (/dev/video0, or its number), a video file, or 'emulated': what the "
                                  "simulated rig of a running `gimbal run --emulate` sees, drawn live")  # fmt: skip
    p.add_argument("--rig", required=True, help="a path, or a name in configs/rigs/: its lens, and whose daemon to ask")
    p.add_argument(
        "--to", metavar="udp://HOST:PORT", help="where to send (default: the rig's vision device, on this host)"
    )
    p.add_argument(
        "--box", nargs=3, type=float, metavar=("X", "Y", "SIDE"), help="the subject in the first frame, shares"
    )
    p.add_argument(
        "--latency-ms", type=float, default=60.0, help="a camera's: exposure's start to arrival (default 60)"
    )
    p.add_argument("--exposure-us", type=float, default=4000.0, help="where the source doesn't say (default 4000)")
    p.add_argument("--json", metavar="FILE", help="write how it went at the end")
    p.set_defaults(call="gimbal.vision.command:vision_command")


def _add_devices(commands: argparse._SubParsersAction) -> None:
    p = _command(
        commands,
        "devices",
        "serial ports by id and who answers on each; nothing moves",
        "  gimbal devices\n  gimbal devices --json\n"
        "  gimbal devices probe /dev/serial/by-id/usb-mjbots_fdcanusb... --ids 1,2,3\n",
    )
    p.add_argument("what", nargs="?", choices=("probe",), help="probe: one port, with what its device can do")
    p.add_argument("port", nargs="?", help="a path, such as /dev/serial/by-id/...")
    p.add_argument("--baud", type=int, help="ask at this speed only (default: the usual ones of each device)")
    p.add_argument("--driver", help="ask for this device only")
    p.add_argument("--ids", help="addresses to try on a bus (default 1,2,3)")
    p.add_argument("--quiet", action="store_true", help="only list: open no port, send nothing")
    p.add_argument("--json", nargs="?", const="-", metavar="FILE", help="JSON, to the screen or into a file")
    p.set_defaults(call="gimbal.devices:devices_command")


def _add_calibrate(commands: argparse._SubParsersAction) -> None:
    p = _command(
        commands,
        "calibrate",
        "find what the sensors of a rig are, guided; live from the running daemon, or from a recorded log",
        "  gimbal run torque                          (in another window)\n"
        "  gimbal calibrate gyro torque\n"
        "  gimbal calibrate joints torque --from logs/wave.mcap --serial VN100-0042 --plot residual.png\n",
    )
    p.add_argument(
        "what",
        choices=("gyro", "noise", "accelerometer", "magnetometer", "joints", "mount", "delay", "imu_arm", "antenna"),
    )
    p.add_argument("rig", help="a path, or a name in configs/rigs/")
    p.add_argument("--from", dest="source", metavar="LOG", help="a recorded log instead of the running daemon")
    p.add_argument("--seconds", type=float, help="length of a live recording (default: what the procedure needs)")
    p.add_argument("--serial", help="of the IMU: names the file (default: the rig's calibration, else its name)")
    p.add_argument("--dir", help="folder of the file (default configs/calibration)")
    p.add_argument("--plot", metavar="FILE", help="draw what is left over (PNG; default beside the file)")
    p.add_argument("--dry-run", action="store_true", help="only say what was found")
    p.add_argument("--json", metavar="FILE", help="write what was found")
    p.set_defaults(call="gimbal.calibrate.command:calibrate_command")


def _add_checks(commands: argparse._SubParsersAction) -> None:
    p = _command(
        commands,
        "doctor",
        "will this machine and this rig fly? PASS, WARN or FAIL, with the fix; nothing moves",
        "  gimbal doctor\n  gimbal doctor torque --port imu=/dev/serial/by-id/usb-FTDI_… --json doctor.json\n",
    )
    p.add_argument("rig", nargs="?", help="a path, or a name in configs/rigs/")
    p.add_argument("--seconds", type=float, default=10.0, help="of the jitter test (default 10)")
    p.add_argument("--log", default="logs", metavar="DIR", help="folder whose room counts (default logs)")
    p.add_argument("--port", metavar="NAME=PATH", action="append", default=[], help="port of a device")
    p.add_argument("--json", nargs="?", const="-", metavar="FILE", help="JSON, to the screen or into a file")
    p.set_defaults(call="gimbal.doctor:doctor_command")

    p = _command(
        commands,
        "why",
        "why it won't arm, or why it stopped: from the running daemon, or from a log",
        "  gimbal why\n  gimbal why logs\n  gimbal why logs/run.mcap --json\n",
    )
    p.add_argument("log", nargs="?", help="a log, or a folder: its newest log (default: ask the daemon)")
    p.add_argument("--rig", help="name of the rig, where several daemons run")
    p.add_argument("--json", nargs="?", const="-", metavar="FILE", help="JSON, to the screen or into a file")
    p.set_defaults(call="gimbal.why:why_command")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gimbal",
        description="Host of a three-axis camera gimbal: holds the picture still, keeps a fast flyer framed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gimbal {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_sim(commands)
    _add_run(commands)
    _add_others(commands)
    _add_devices(commands)
    _add_calibrate(commands)
    _add_vision(commands)
    _add_checks(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 good, 1 failed, 2 bad usage or config."""
    args = build_parser().parse_args(argv)
    module, _, function = args.call.partition(":")
    import importlib

    try:
        return int(getattr(importlib.import_module(module), function)(args) or 0)
    except GimbalError as error:
        print(f"gimbal {args.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"gimbal {args.command}: stopped by Ctrl-C", file=sys.stderr)
        return 1
    except RuntimeError as error:
        if type(error).__name__ != "CacheUnwritable":
            raise
        print(f"gimbal {args.command}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
