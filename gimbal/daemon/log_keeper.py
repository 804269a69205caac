"""Keeps a recorder running beside the daemon: starts it, says what went wrong, restarts it when it was killed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gimbal.daemon import instance
from gimbal.daemon.params_file import load_params
from gimbal.errors import GimbalError
from gimbal.telemetry.log_writer import clock_pair
from gimbal.telemetry.recorder import Job, RecorderProcess, RecorderState, log_path

START_S = 20.0
RESTARTS = 5  # a recorder that dies more often has a cause that restarting doesn't cure


class LogKeeper:
    """One log per start of the recorder, in ``options.log``.

    Raises (on construction): GimbalError where the log can't be started.
    """

    def __init__(self, options: Any, folder: str | Path, say: Callable[[str], None]) -> None:
        self.options, self.folder, self.say = options, folder, say
        self.paths: list[Path] = []
        self.lost = 0
        self._said = ""
        self._given_up = False  # recording could not go on; flying can
        self._lost_before = 0
        self._start()
        status = self.process.wait_started(START_S)
        if status["state"] == RecorderState.STOPPED:
            self.process.stop()
            raise GimbalError(str(status["message"]) or "The recorder could not start.")

    def _start(self) -> None:
        options, name = self.options, self.options.rig.config.name
        scenario = options.scenario
        header = {
            "rig": name,
            "scenario": scenario.config.name if scenario else "",
            "mode": options.mode,
            "seed": options.seed,
            "config_hash": options.rig.hash + (scenario.hash if scenario else ""),
            "source": "run",
            **clock_pair(),
        }
        config = options.rig.config.model_dump_json(indent=1)
        attachments = {"rig.toml": options.rig.text.encode(), "config.json": config.encode()}
        if scenario:
            attachments["scenario.toml"] = scenario.text.encode()
        path = log_path(options.log, instance.safe_name(name))
        job = Job(
            ticks=instance.segment(name, "tick"),
            states=instance.segment(name, "state"),
            status=instance.segment(name, "log"),
            path=str(path),
            header=header,
            params=load_params(self.folder),
            attachments=attachments,
        )
        self.process = RecorderProcess(job)
        self.paths.append(path)
        self._started = time.monotonic()

    @property
    def path(self) -> Path:
        """The log in use."""
        return self.paths[-1]

    def watch(self) -> None:
        """Called now and then: says a problem once; a recorder that was killed is started again, on a new file."""
        if self._given_up:
            return
        status = self.process.status()
        self.lost = self._lost_before + int(status["lost"])
        message = str(status["message"])
        if status["state"] == RecorderState.STOPPED and message != self._said:
            self._said = message
            self.say(f"recorder: {message} The loop flies on without a log.")
        if not self._alive() and status["state"] != RecorderState.STOPPED and len(self.paths) <= RESTARTS:
            self.say(f"the recorder died; {self.path} is readable to within half a second; recording on in a new file")
            self._lost_before = self.lost
            try:
                self.process.stop()
                self._start()
            except (GimbalError, OSError) as error:
                self._given_up = True
                self.say(f"recorder: {error} The loop flies on without a log.")

    def _alive(self) -> bool:
        try:
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def close(self) -> None:
        """Drain and close the log; may be called twice."""
        status = self.process.status()
        if status["state"] != RecorderState.STARTING:
            self.lost = self._lost_before + int(status["lost"])
        self.process.stop()
