"""`gimbal warmup`: compile every kernel into the cache, so that the next start takes a second."""

from __future__ import annotations

import argparse
import time


def warm_up(say: object = None) -> float:
    """Compile the tick and the plant; returns seconds of CPU it took."""
    began = time.process_time()
    import numpy as np

    from gimbal.config.load import load_rig, load_scenario
    from gimbal.config.pack import pack_params
    from gimbal.loop.lockstep import run_lockstep
    from gimbal.loop.pipeline import new_state, step
    from gimbal.records import COMMAND, INBOX, SENSE, TICK
    from gimbal.rig.plant import PlantRig

    rig = load_rig("torque").config
    params = pack_params(rig)
    step(params, new_state(params), *(np.zeros(1, d) for d in (SENSE, INBOX, COMMAND, TICK)))
    if callable(say):
        say(f"the tick is compiled ({time.process_time() - began:.1f} s of CPU)")
    scenario = load_scenario("speedflight").config
    run_lockstep(PlantRig(rig, scenario, seconds=0.01), rig, 0.01)
    return time.process_time() - began


def warmup_command(args: argparse.Namespace) -> int:
    """Entry of `gimbal warmup`."""
    print("compiling the tick and the plant, once for this version on this machine ...", flush=True)
    cpu_s = warm_up(lambda text: print(text, flush=True))
    print(f"done: {cpu_s:.1f} s of CPU")
    return 0
