"""What the loop asks of the kernel for steady timing, what it was granted, and how to get the rest.

Nothing here refuses to run. Each right is tried by doing (a container can deny root, a limits file can allow a user);
a refusal becomes one line of the report with its exact fix, and the loop flies on without it. Measured worth of each
(2-core virtual machine, 1 kHz, under load): FIFO 40 to 100 times at p99.9 of the wake-up latency; frozen garbage
collector 130 ms pauses; timer slack 50 us at the median.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from dataclasses import dataclass, field

FIFO_PRIORITY = 80
NICE_WITHOUT_FIFO = -11
_SLICE_NS = 100_000  # EEVDF slice asked for without FIFO: short slices are picked sooner (kernel 6.12 and newer)

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK = 1, 29
_SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}

FIX_FIFO = (
    "add 'YOUR_USER - rtprio 95' to /etc/security/limits.d/gimbal.conf and log in again, or run the service unit of "
    "packaging/ (LimitRTPRIO=95), or in a container: --cap-add SYS_NICE --ulimit rtprio=95"
)
FIX_MLOCK = (
    "add 'YOUR_USER - memlock unlimited' to /etc/security/limits.d/gimbal.conf and log in again, or "
    "LimitMEMLOCK=infinity in the service unit, or in a container: --ulimit memlock=-1"
)
FIX_LATENCY = "install packaging/70-gimbal.rules (group gimbal may hold /dev/cpu_dma_latency) and join that group"
FIX_CPUS = "give the process a second CPU (taskset, cpuset or --cpuset-cpus)"


@dataclass(frozen=True)
class Right:
    """One thing asked for. ``essential``: without it the loop counts as degraded."""

    name: str
    granted: bool
    detail: str = ""
    fix: str = ""
    essential: bool = True


@dataclass
class Report:
    """What was granted; ``fifo`` and ``spin`` decide how the clock waits."""

    rights: list[Right] = field(default_factory=list)
    cpu: int = -1
    fifo: bool = False
    spin: bool = False
    held: list[int] = field(default_factory=list)  # descriptors that must stay open

    @property
    def lost(self) -> list[Right]:
        return [right for right in self.rights if not right.granted]

    def line(self) -> str:
        """One line for the operator: ``RT: full`` or what is missing and the exact fix."""
        lost = [right for right in self.lost if right.essential]
        if not lost:
            return "RT: full"
        return "RT: degraded: " + "; ".join(f"{r.name} ({r.detail}). Fix: {r.fix}" for r in lost)

    def as_dict(self) -> dict[str, object]:
        return {
            "line": self.line(),
            "cpu": self.cpu,
            "fifo": self.fifo,
            "spin": self.spin,
            "rights": [vars(right) for right in self.rights],
        }


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def pin_to(cpu: int) -> Right:
    """Bind the calling thread to one CPU."""
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as error:
        return Right("CPU affinity", False, _reason(error), FIX_CPUS)
    return Right("CPU affinity", True, f"cpu {cpu}")


def last_cpu() -> int:
    """The last CPU this process may use: interrupts and everyone else's work start from the first."""
    return max(os.sched_getaffinity(0))


def ask_fifo(priority: int) -> Right:
    """SCHED_FIFO with reset-on-fork: a child never inherits it."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        return Right("SCHED_FIFO", False, _reason(error), FIX_FIFO)
    return Right("SCHED_FIFO", True, f"priority {priority}")


def ask_nice(nice: int) -> Right:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except OSError as error:
        return Right("nice", False, _reason(error), FIX_FIFO, essential=False)
    return Right("nice", True, str(nice), essential=False)


class _SchedAttr(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),  # of SCHED_OTHER: the slice, from kernel 6.12
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    ]


def ask_short_slice() -> Right:
    """A 100 us slice for SCHED_OTHER: needs no right; older kernels accept and ignore it."""
    number = _SYS_SCHED_SETATTR.get(os.uname().machine)
    if number is None:
        return Right("short slice", False, f"not known for {os.uname().machine}", FIX_FIFO, essential=False)
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attr = _SchedAttr(ctypes.sizeof(_SchedAttr), os.SCHED_OTHER, 0, nice, 0, _SLICE_NS, 0, 0)
    if _libc().syscall(number, 0, ctypes.byref(attr), 0) != 0:
        return Right("short slice", False, os.strerror(ctypes.get_errno()).lower(), FIX_FIFO, essential=False)
    return Right("short slice", True, f"{_SLICE_NS // 1000} us", essential=False)


def lock_memory() -> Right:
    """mlockall of what is and what will be touched (on fault, so untouched reservations cost nothing)."""
    if _libc().mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        return Right("locked memory", False, os.strerror(ctypes.get_errno()).lower(), FIX_MLOCK)
    return Right("locked memory", True)


def hold_latency(report: Report) -> Right:
    """Keep the CPUs out of deep sleep while the descriptor stays open (0 us wake-up latency allowed)."""
    try:
        descriptor = os.open("/dev/cpu_dma_latency", os.O_WRONLY | os.O_CLOEXEC)
        os.write(descriptor, (0).to_bytes(4, sys.byteorder))
    except OSError as error:
        return Right("/dev/cpu_dma_latency", False, _reason(error), FIX_LATENCY, essential=False)
    report.held.append(descriptor)
    return Right("/dev/cpu_dma_latency", True, essential=False)


def timer_slack() -> Right:
    """1 ns instead of 50 us: matters without FIFO, needs no right."""
    if _libc().prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0) != 0:
        return Right("timer slack", False, os.strerror(ctypes.get_errno()).lower(), FIX_FIFO, essential=False)
    return Right("timer slack", True, "1 ns", essential=False)


def freeze_garbage() -> None:
    """Everything alive is taken out of the collector's sight and the collector is switched off. Reference counting
    still frees what the loop drops; the loop makes no cycles."""
    gc.collect()
    gc.freeze()
    gc.disable()


def die_with_parent(parent_pid: int, number: int = signal.SIGTERM) -> None:
    """Have the kernel send ``number`` when the parent dies, and leave at once if it already has."""
    if sys.platform != "linux":
        return
    _libc().prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent_pid:
        raise SystemExit("the parent process is gone")


def leave_endings_to_parent() -> None:
    """Ctrl-C, Ctrl-\\ and a closed terminal reach the whole process group: the parent decides when a child ends."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def acquire(priority: int = FIFO_PRIORITY, cpu: int | None = None) -> Report:
    """Ask for everything the loop wants, in the calling thread: last before the loop, after every kernel is compiled
    and every buffer touched. Never raises; the report says what was granted."""
    report = Report()
    allowed = len(os.sched_getaffinity(0))
    report.cpu = last_cpu() if cpu is None else cpu
    report.rights.append(pin_to(report.cpu))
    report.rights.append(timer_slack())
    fifo = ask_fifo(priority)
    report.fifo = fifo.granted
    report.rights.append(fifo)
    if not fifo.granted:
        report.rights += [ask_nice(NICE_WITHOUT_FIFO), ask_short_slice()]
    report.spin = report.fifo and allowed >= 2
    if allowed < 2:
        report.rights.append(Right("a second CPU", False, "one CPU for loop and everything else", FIX_CPUS))
    report.rights += [lock_memory(), hold_latency(report)]
    freeze_garbage()
    return report


def release(report: Report) -> None:
    """Give back what outlives the loop: used by tests and by tools that go on after it."""
    for descriptor in report.held:
        os.close(descriptor)
    report.held.clear()
    gc.enable()
    gc.unfreeze()
