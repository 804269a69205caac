"""``gimbal run``: the daemon. Checks first, then starts and watches its processes, and ends in the safe state.

The composition root: with gimbal/run_realtime.py the only place that names concrete rigs, readers and emulators.
This process is the supervisor of processes: it serves ``gimbal ctl``, prints, keeps figures and never touches a device;
the loop runs in a process of its own, the recorder in a third, the emulators in a fourth. It stays small: no numba, no
scipy before the loop has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware_bridge import registry
from firmware_bridge.errors import BridgeError
from gimbal.daemon import instance
from gimbal.daemon.arm_wish import ArmWish
from gimbal.daemon.children import Child
from gimbal.daemon.console_line import LiveLine
from gimbal.daemon.ctl_server import ControlServer
from gimbal.daemon.desk import Desk
from gimbal.daemon.end_process import after_a_kill
from gimbal.daemon.live import History, final_figures
from gimbal.daemon.options import Options, check_options
from gimbal.daemon.service import Notifier
from gimbal.daemon.summary import run_summary
from gimbal.errors import GimbalError, UsageError
from gimbal.faults import Code
from gimbal.loop.board import Board, Phase
from gimbal.loop.boost import SCAN_S, WorkerBoost
from gimbal.records import Arm
from gimbal.telemetry.inbox import InboxWriter
from gimbal.telemetry.ring import RingReader
from gimbal.telemetry.shm import SharedMemoryError, segment_path

COMPILE_S = 600.0  # a cold start compiles for seconds of CPU, minutes on a machine that is busy
OPEN_S = 20.0
MOTION_MARGIN_S = 60.0  # the emulated carrier flies this much longer than asked: start, arming
POLL_S = 0.05
ARM_RETRY_S, ARM_GIVE_UP_S = 0.5, 30.0
TICKLESS_S = 0.3  # with a poll and a figure line on top: said within 0.5 s


class Daemon:
    """One run: start, watch, end. ``stack`` undoes whatever was started, in reverse order, however the run ends."""

    def __init__(self, options: Options, say: Callable[[str], None] = print) -> None:
        self.options, self.say = options, say
        self.config = options.rig.config
        self.name = self.config.name
        self.stack = contextlib.ExitStack()
        self.signal = 0  # the one that ended the run
        self.emulator: Child | None = None
        self.recorder: Any = None
        self.history = History(self.config.loop_rate_hz)
        self.truth: RingReader | None = None
        self.rt_line = ""
        self.emulator_lost = self.flying = False
        self.ended_in_fault = False
        self.wish = ArmWish() if options.arm else None
        self._ticks_seen, self._ticked, self._stalled = -1, 0.0, False
        self.boost = WorkerBoost()
        self.notifier = Notifier()
        self._next_scan = 0.0

    def run(self) -> dict[str, Any]:
        """Fly, and return the summary. Raises GimbalError when the loop can't be started or failed."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, self._on_signal)
        sys.setswitchinterval(0.0005)  # a STOP waits for the interpreter no longer than that
        with self.stack:
            self._start()
            self._fly()
            self._land()
            report = json.loads(self.board.report or "{}")
            return run_summary(self.options, self.board, self.history, report, self.recorder)

    def _on_signal(self, number: int, _: Any) -> None:
        self.signal = self.signal or number

    # Start

    def _start(self) -> None:
        self.stack.callback(instance.RigLock(self.name).release)
        temporary = tempfile.TemporaryDirectory(prefix="gimbal-", dir=instance.runtime_dir())
        self.folder = self.stack.enter_context(temporary)
        segment_path(instance.segment(self.name, "board")).unlink(missing_ok=True)  # of a daemon that was killed
        self.board = Board(instance.segment(self.name, "board"), create=True)
        self.stack.callback(self.board.unlink)
        self.inbox = InboxWriter(instance.segment(self.name, "inbox"))
        self.stack.callback(self.inbox.close)
        self.desk = Desk(self.name, self.config, self.inbox, self.board, os.getpid())
        server = ControlServer(instance.socket_path(self.name), self.desk.handle)
        self.stack.callback(server.close)
        self._start_emulators()
        self.loop = Child("gimbal.run_realtime", self._loop_spec())
        self.stack.callback(self.loop.end)
        self._await_devices()
        self._await(Phase.RUNNING)
        self.rows = RingReader(instance.segment(self.name, "tick"), start="oldest")
        self._start_radio()
        self.rt_line = json.loads(self.board.report)["line"]
        self.say(self.rt_line)
        self._start_recorder()
        self.stack.callback(self.boost.restore)

    def _loop_spec(self) -> dict[str, Any]:
        ports = dict(self.options.ports)
        if self.options.scenario is not None:
            emulated = {device: str(Path(self.folder) / device) for device in self.config.devices}
            ports = emulated | ports
        return {
            "rig": str(self.options.rig.path),
            "name": self.name,
            "ports": ports,
            "mode": self.options.mode,
            "folder": self.folder,
        }

    def _start_radio(self) -> None:
        """The operator's radio is a client of the inbox, as `gimbal ctl` is: it may fail without the loop noticing."""
        if not any(registry.entry(device.driver).kind == "radio" for device in self.config.devices.values()):
            return
        from gimbal.rig.radio import OperatorRadio, radio_names

        ports = self._loop_spec()["ports"]
        for name in radio_names(self.config):
            try:
                radio = OperatorRadio(self.config, name, ports.get(name, ""), self.inbox.send)
            except BridgeError as error:
                raise GimbalError(f"operator radio ({name}): {error}") from None
            self.stack.callback(radio.close)
            self.say(f"operator radio {name}: {radio.identity}")

    def _start_emulators(self) -> None:
        options = self.options
        if options.scenario is None:
            return
        spec = {
            "rig": str(options.rig.path),
            "scenario": str(options.scenario.path),
            "track": str(options.track) if options.track else None,
            "seed": options.seed,
            "dir": self.folder,
            "truth": instance.segment(self.name, "truth"),
            "skip": sorted(options.ports),
            "seconds": None if options.seconds is None else options.seconds + MOTION_MARGIN_S,
        }
        self.emulator = Child("gimbal.emulate", spec)
        self.stack.callback(self.emulator.end)

    def _await_devices(self) -> None:
        if self.emulator is not None:
            self.emulator.wait_for_line("READY", COMPILE_S, self._progress)
            self.truth = RingReader(instance.segment(self.name, "truth"), start="oldest")
        self.board["go"] = 1

    def _await(self, phase: Phase) -> None:
        end = time.monotonic() + COMPILE_S
        while self.board["phase"] < phase:
            if not self.loop.running() or self.signal or time.monotonic() > end:
                break
            if self.board["phase"] == Phase.OPENING:
                end = min(end, time.monotonic() + OPEN_S)
            self._progress()
            time.sleep(0.005)
        if self.board["phase"] != Phase.RUNNING:
            self._raise_loop_failure("did not start")

    def _progress(self) -> None:
        """What takes long at a first start is said once a second."""
        if self.signal:
            raise GimbalError(f"ended by signal {self.signal} before the loop ran")
        if not self.loop.running():
            self._raise_loop_failure("did not start")
        now = time.monotonic()
        self._began = getattr(self, "_began", now)
        if self.board["phase"] != Phase.COMPILING or now < getattr(self, "_next_word", self._began + 1.5):
            return
        self._next_word = now + 1.0
        count = self.board["compiled"]
        self.say(f"compiling kernels, first start only: {count} done, {now - self._began:.0f} s")

    def _raise_loop_failure(self, what: str) -> None:
        if self.signal and not self.flying:
            raise GimbalError(f"ended by signal {self.signal} before the loop ran")
        self.loop.join(2.0)
        if self.board["phase"] == Phase.FAILED:
            error = UsageError if self.board["exit_code"] == 2 else GimbalError
            raise error(self.board.message)
        words = "\n".join(self.loop.errors[-12:])
        code = self.loop.process.returncode
        if self.desk.loop_ended:
            raise GimbalError(f"STOP: {self.desk.loop_ended}.")
        raise GimbalError(
            f"The real-time process {what} (exit {code}): the devices' watchdogs stop the motors. {words}"
        )

    def _start_recorder(self) -> None:
        if self.options.log is None:
            return
        from gimbal.daemon.log_keeper import LogKeeper

        self.recorder = LogKeeper(self.options, self.folder, self.say)
        self.stack.callback(self.recorder.close)

    # Fly

    def _fly(self) -> None:
        self.notifier.say("READY=1")
        self.flying = True
        line = LiveLine(self.config, self.history, self.board)
        began = time.monotonic()
        next_line, next_arm = began + 1.0, began
        wish = self.wish
        to_arm = wish is not None
        end = None if self.options.seconds is None or to_arm else began + self.options.seconds
        while not self.signal and (end is None or time.monotonic() < end):
            time.sleep(POLL_S)
            self._drain()
            if not self.loop.running():
                self._raise_loop_failure("ended by itself")
            self._watch_children()
            self.notifier.alive(self.board["ticks"])
            now = time.monotonic()
            self._watch_ticks(now)
            self._boost_workers(now)
            if wish is not None and to_arm and (now >= next_arm or wish.dropped):
                to_arm, next_arm = self._try_to_arm(wish, now - began), now + ARM_RETRY_S
                if not to_arm and self.options.seconds is not None:
                    end = now + self.options.seconds
            if now >= next_line:
                next_line += 1.0
                self.say(line.text(self.last_row, now - began))

    def _try_to_arm(self, wish: ArmWish, waited_s: float) -> bool:
        """Arm once, after the self-test; never again by itself. True: try again later, the start-up isn't over."""
        if wish.armed:
            return False  # by another client
        if wish.dropped:
            self.say(f"--arm is dropped: {wish.dropped.rstrip('.')}. Mend that, `gimbal ctl ack` where a fault is "
                     "latched, then `gimbal ctl arm`.")  # fmt: skip
            return False
        reason = "the self-test hasn't finished"
        if wish.state == Arm.IDLE:
            answer = self.desk.handle({"verb": "arm"}, os.getsid(0))
            if answer["ok"]:
                self.say("armed")
                return False
            reason = answer["reason"]
        if waited_s > ARM_GIVE_UP_S:
            raise GimbalError(
                f"--arm: the gimbal did not arm within {ARM_GIVE_UP_S:g} s: {reason}. Start without --arm, look at "
                "`gimbal ctl status`, and arm by `gimbal ctl arm` when it is ready."
            )
        return True

    def _watch_ticks(self, now: float) -> None:
        """A loop that stands still is said aloud at once: its devices may do what they were last told."""
        ticks = self.board["ticks"]
        if ticks != self._ticks_seen:
            if self._stalled:
                self.say(f"the loop ticks again, after {now - self._ticked:.1f} s")
            self._ticks_seen, self._ticked, self._stalled = ticks, now, False
        elif not self._stalled and now - self._ticked > TICKLESS_S:
            self._stalled = True
            self.say(f"THE LOOP STANDS STILL: no tick for {now - self._ticked:.1f} s; {after_a_kill(self.config)}. "
                     "`gimbal ctl stop` ends it.")  # fmt: skip

    def _drain(self) -> None:
        rows = self.rows.read_new()
        self.history.add_ticks(rows)
        if self.wish is not None:
            self.wish.see(rows)
        if len(rows):
            self.last_row = rows[-1:].copy()[0]
        if self.truth is not None:
            self.history.add_truth(self.truth.read_new())

    last_row: Any = None

    def _boost_workers(self, now: float) -> None:
        armed = self.last_row is not None and self.last_row["health"]["arm"] == Arm.ARMED
        if not armed:
            self.boost.restore()
        elif now >= self._next_scan:
            self._next_scan = now + SCAN_S
            self.boost.scan()

    def _watch_children(self) -> None:
        if self.recorder is not None:
            self.recorder.watch()
        if self.emulator is not None and not self.emulator.running() and not self.emulator_lost:
            self.emulator_lost = True
            words = " ".join(self.emulator.errors[-3:])
            self.say(f"the emulators ended (exit {self.emulator.process.returncode}); the loop goes on. {words}")

    # Land

    def _land(self) -> None:
        """Disarm (a signal: STOP), see it take effect, then end the loop, which makes the rig safe in any case."""
        self.notifier.say("STOPPING=1")
        self.desk.handle({"verb": "stop" if self.signal else "disarm"}, os.getsid(0))
        self._drain()
        fault = 0 if self.last_row is None else int(self.last_row["health"]["fault"])
        self.ended_in_fault = fault not in (0, Code.OPERATOR_STOP)
        self.board["stop"] = 1
        self.loop.join(3.0)
        with contextlib.suppress(SharedMemoryError):
            self._drain()
        if self.board["phase"] != Phase.ENDED:
            self._raise_loop_failure("did not end well")
        if self.recorder is not None:
            self.recorder.close()


def run_command(args: Namespace) -> int:
    """Run the daemon as ``args`` say. 0: it ran and was ended; 1: it failed, a fault was latched at its end, or --arm
    was dropped."""
    options = check_options(args)
    daemon = Daemon(options, lambda text: print(text, flush=True))
    summary = daemon.run()
    if options.json is not None:
        options.json.write_text(json.dumps(summary, indent=1) + "\n")
    from gimbal.daemon.summary import format_summary

    print(format_summary(summary), flush=True)
    return 1 if daemon.ended_in_fault or (daemon.wish is not None and daemon.wish.dropped) else 0


__all__ = ["Daemon", "Options", "check_options", "final_figures", "run_command"]
