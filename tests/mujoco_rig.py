"""An outside plant behind the Rig protocol: MuJoCo's dynamics, no line shared with the project's own plant.

A three-axis gimbal of the reference rig's class with other masses, motors, friction and flexible modes, carried through
a coordinated spiral and buffeting. The loop drives it like any rig: ``gimbal.run_lockstep(MujocoRig(), config,
seconds)``. It imports nothing of the project: SENSE and COMMAND arrive as arrays whose field names docs/contract.md
fixes.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np

ROLL, PITCH, YAW = 0, 1, 2
AXIS = {"roll": "1 0 0", "pitch": "0 1 0", "yaw": "0 0 1"}
INDEX = {"roll": ROLL, "pitch": PITCH, "yaw": YAW}
G = 9.80665
STAGES = {  # mass, inertia, centre of mass, origin in the stage before
    "yaw": (1.1, "0.011 0.012 0.009", "0 0 0.035", "0 0 0"),
    "roll": (0.7, "0.005 0.009 0.009", "0.004 0 0", "0 0 0.11"),
    "pitch": (2.9, "0.012 0.018 0.017", "0.0013 -0.0006 0.0009", "0 0 0"),
}
MODE_HZ, MODE_DAMPING = {"yaw": 50.0, "roll": 57.0, "pitch": 68.0}, 0.035  # structure between motor and stage
ROTOR = {"yaw": 0.0050, "roll": 0.0026, "pitch": 0.0027}  # kg m² of STAGES on the motor's side,
CARRIED = {"yaw": 0.035, "roll": 0.017, "pitch": 0.018}  # of all that the joint turns
SUBSTEP_S = 0.00025
GYRO_HZ = 240.0  # of its own low-pass, second order


def stage(name: str) -> str:
    """A motor's rotor and, behind the structure's spring, its stage; two bodies left open."""
    mass, inertia, com, origin = STAGES[name]
    rotor = ROTOR[name]
    motor = [rotor if k == INDEX[name] else 0.6 * rotor for k in range(3)]
    rest = [float(x) - m for x, m in zip(inertia.split(), motor, strict=True)]
    reduced = rotor * (CARRIED[name] - rotor) / CARRIED[name]
    w = 2 * math.pi * MODE_HZ[name]
    return (
        f'<body name="{name} rotor" pos="{origin}"><joint name="{name}" axis="{AXIS[name]}" damping="0.003" '
        f'frictionloss="0.015"/><inertial pos="0 0 0" mass="0.001" diaginertia="{" ".join(map(str, motor))}"/>'
        f'<body name="{name}"><joint name="{name} flex" axis="{AXIS[name]}" stiffness="{w * w * reduced}" '
        f'damping="{2 * MODE_DAMPING * w * reduced}"/>'
        f'<inertial pos="{com}" mass="{mass}" diaginertia="{" ".join(map(str, rest))}"/>'
    )


def build(order: tuple[str, ...]) -> mujoco.MjModel:
    bodies, close = "".join(stage(name) for name in order), "</body></body>" * len(order)
    return mujoco.MjModel.from_xml_string(
        f"""<mujoco><compiler angle="radian"/>
        <option gravity="0 0 {G}" timestep="{SUBSTEP_S}" integrator="implicitfast"><flag contact="disable"/></option>
        <worldbody><body name="base"><freejoint/><inertial pos="0 0 0" mass="4000" diaginertia="100 100 100"/>
        {bodies}<site name="camera"/>{close}</body></worldbody>
        <sensor><accelerometer site="camera"/><gyro site="camera"/></sensor></mujoco>"""
    )


def quaternion(roll, pitch, yaw) -> np.ndarray:
    """(..., 4) of intrinsic Z-Y-X angles."""
    cr, sr, cp, sp = np.cos(roll / 2), np.sin(roll / 2), np.cos(pitch / 2), np.sin(pitch / 2)
    cy, sy = np.cos(yaw / 2), np.sin(yaw / 2)
    w, x = cr * cp * cy + sr * sp * sy, sr * cp * cy - cr * sp * sy
    return np.stack([w, x, cr * sp * cy + sr * cp * sy, cr * cp * sy - sr * sp * cy], axis=-1)


class Carrier:
    """Straight flight, a 2 g spiral between 8 and 16 s, harness swing and buffeting as sums of sines."""

    CHUNK = 2000

    def __init__(self, seed: int, shake: float, step_s: float) -> None:
        rng = np.random.default_rng(seed)
        self.w = 2 * math.pi * rng.uniform(4.0, 22.0, (6, 12))
        self.phase = rng.uniform(0, 2 * math.pi, (6, 12))
        rms = np.array([7 * math.pi / 180, 6 * math.pi / 180, 4 * math.pi / 180, 1.2, 1.2, 2.0]) * shake
        power = np.array([1, 1, 1, 2, 2, 2])[:, None]  # rates, accelerations
        self.size = rms[:, None] * math.sqrt(2 / 12) / self.w**power
        self.swing, self.step_s, self.chunk = shake * math.pi / 180, step_s, -1

    def attitude(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """q_NB, level velocity of the smooth flight and the vibration's displacement at times t (n,)."""
        u = np.clip((t - 8.0) / 8.0, 0.0, 1.0)
        rate = 0.425 * (1 - np.cos(2 * math.pi * u))
        heading = 0.425 * 8.0 * (u - np.sin(2 * math.pi * u) / (2 * math.pi))
        a = (self.size[:, :, None] * np.sin(self.w[:, :, None] * t + self.phase[:, :, None])).sum(axis=1)
        s = self.swing
        roll = np.arctan2(20.0 * rate, G) + 12 * s * np.sin(2.4 * t) + a[0]
        pitch = 7 * s * np.sin(3.1 * t + 0.4) + a[1]
        yaw = heading + 5 * s * np.sin(1.2 * t) + a[2]
        flight = np.stack([20 * np.cos(heading), 20 * np.sin(heading), 0 * t], axis=-1)
        return quaternion(roll, pitch, yaw), flight, a[3:].T

    def at(self, i: int) -> tuple[np.ndarray, ...]:
        """q_NB, omega_B, alpha_B, velocity and acceleration in N at substep i, made a chunk at a time."""
        chunk, row = divmod(i, self.CHUNK)
        if chunk != self.chunk:
            self.chunk = chunk
            t = (chunk * self.CHUNK + np.arange(self.CHUNK)) * self.step_s
            h = 1e-4
            (q0, v0, x0), (q1, v1, x1), (q2, v2, x2) = (self.attitude(t + k * h) for k in (-1, 0, 1))
            first, second = rotation_rate(q0, q1, h), rotation_rate(q1, q2, h)
            acc = (v2 - v0) / (2 * h) + (x2 - 2 * x1 + x0) / h**2
            self.rows = (q1, 0.5 * (first + second), (second - first) / h, v1 + (x2 - x0) / (2 * h), acc)
        return tuple(r[row] for r in self.rows)

    def wind(self, i: int) -> np.ndarray:
        """(3,) N m beside the motors' torque on the roll, pitch, yaw joint at substep i."""
        return np.zeros(3)


def rotation_rate(a: np.ndarray, b: np.ndarray, dt: float) -> np.ndarray:
    """Body rates (n, 3) that turn attitudes a into b in dt."""
    w = (a * b).sum(axis=1, keepdims=True)
    v = a[:, :1] * b[:, 1:] - b[:, :1] * a[:, 1:] - np.cross(a[:, 1:], b[:, 1:])
    n = np.linalg.norm(v, axis=1, keepdims=True)
    return np.where(n > 1e-14, 2.0 * np.arctan2(n, w) / np.maximum(n, 1e-300), 2.0) * v / dt


class MujocoRig:
    """Motors of 250 Hz torque bandwidth and delay_ms, a 1 kHz IMU of 240 Hz with noise, encoders, a 5 Hz receiver."""

    def __init__(self, *, delay_ms: float = 2.0, shake: float = 1.0, noise: float = 1.0) -> None:
        self.delay_ms, self.shake, self.noise = delay_ms, shake, noise

    def open(self, info) -> None:
        self.dt = float(info["dt_s"])
        self.substeps = max(round(self.dt / SUBSTEP_S), 1)
        self.order = tuple(info["kinematic_order"])
        self.t_ns = self.t0_ns = int(info["t0_ns"])
        self.rng = np.random.default_rng(info["seed"])
        self.carrier = self.make_carrier(info["seed"], self.dt / self.substeps)
        self.step = 0
        self.m = build(self.order)
        self.m.opt.timestep = self.dt / self.substeps
        self.d = mujoco.MjData(self.m)
        self.pos = np.zeros(3)
        self.M = np.zeros((self.m.nv, self.m.nv))
        self.adr = [6 + 2 * self.order.index(n) for n in ("roll", "pitch", "yaw")]
        self.torque = np.zeros(3)
        self.commands = [(0, np.zeros(3), np.zeros(3, int))]
        self.gyro_bias = self.noise * self.rng.normal(0, 0.0015, 3)
        self.accel_bias = self.noise * self.rng.normal(0, 0.02, 3)
        self.fixes: list[tuple[int, np.ndarray, np.ndarray]] = []
        q, w, *_ = self.carrier.at(0)
        self._level(q, w)
        self._follow()
        mujoco.mj_forward(self.m, self.d)
        self.gyro, self.slope = self.d.sensordata[3:6].copy(), np.zeros(3)

    def make_carrier(self, seed: int, step_s: float) -> Carrier:
        return Carrier(seed, self.shake, step_s)

    def _level(self, q: np.ndarray, w: np.ndarray) -> None:
        """Joint angles that hold the camera level at the start, by following the gradient of its tilt, camera still."""
        self.d.qpos[3:7] = q
        heading = math.atan2(2 * (q[0] * q[3] + q[1] * q[2]), 1 - 2 * (q[2] ** 2 + q[3] ** 2))
        goal = quaternion(0, 0, heading)
        jac = np.zeros((3, self.m.nv))
        for _ in range(60):
            mujoco.mj_forward(self.m, self.d)
            mujoco.mj_jacSite(self.m, self.d, None, jac, 0)
            now = np.zeros(4)
            mujoco.mju_mat2Quat(now, self.d.site_xmat[0])
            error = np.zeros(3)
            mujoco.mju_subQuat(error, goal, now)  # in the camera's axes
            world = self.d.site_xmat[0].reshape(3, 3) @ error
            self.d.qpos[np.array(self.adr) + 1] += np.linalg.lstsq(jac[:, self.adr], world, rcond=None)[0]
        base = self.d.body("base").xmat.reshape(3, 3) @ w
        self.d.qvel[self.adr] = np.linalg.lstsq(jac[:, self.adr], -base, rcond=None)[0]

    def _follow(self) -> None:
        """Put the base where the carrier is and find the wrench that makes it accelerate as the carrier does."""
        d, m = self.d, self.m
        q, w, alpha, vel, acc = self.carrier.at(self.step)
        d.qpos[:3], d.qpos[3:7], d.qvel[:3], d.qvel[3:6] = self.pos, q, vel, w
        mujoco.mj_step1(m, d)
        mujoco.mj_fullM(m, d, self.M)
        given = np.concatenate([acc, alpha])
        torque, wind = np.zeros(m.nv - 6), self.carrier.wind(self.step)
        for k in range(3):
            torque[self.adr[k] - 6] = self.torque[k] + wind[k]
        d.qfrc_applied[6:] = torque
        free = torque + d.qfrc_passive[6:] + d.qfrc_constraint[6:] - d.qfrc_bias[6:]
        joints = np.linalg.solve(self.M[6:, 6:], free - self.M[6:, :6] @ given)
        d.qfrc_applied[:6] = (self.M @ np.concatenate([given, joints]) + d.qfrc_bias)[:6]
        self.vel = vel

    def read(self, sense) -> int:
        s, d = sense[0], self.d
        s["t_ns"] = self.t_ns
        s["imu_n"] = 1
        s["imu_t_ns"][0] = self.t_ns
        per_root_hz = self.noise * math.sqrt(0.5 / self.dt)
        s["imu_gyro_I"][0] = self.gyro + self.gyro_bias + self.rng.normal(0, 5e-5 * per_root_hz, 3)
        s["imu_accel_I"][0] = d.sensordata[:3] + self.accel_bias + self.rng.normal(0, 8e-4 * per_root_hz, 3)
        lsb = 2 * math.pi / 2**14
        for k in range(3):
            s["joint_valid"][k] = 1
            s["joint_t_ns"][k] = self.t_ns
            s["joint_angle"][k] = lsb * round(float(d.qpos[self.adr[k] + 1]) / lsb)
            s["joint_rate"][k] = d.qvel[self.adr[k]]
            s["joint_torque_applied"][k] = self.torque[k]
            s["motor_temp_degC"][k] = 30.0
        s["bus_V"] = 24.0
        if (self.t_ns - self.t0_ns) % 200_000_000 == 0:
            pos = self.pos + self.noise * self.rng.normal(0, 0.5, 3)
            self.fixes.append((self.t_ns, pos, self.vel + self.noise * self.rng.normal(0, 0.08, 3)))
        if self.fixes and self.fixes[0][0] + 150_000_000 <= self.t_ns:
            stamp, pos, vel = self.fixes.pop(0)
            s["gnss_valid"], s["gnss_t_ns"], s["gnss_arrival_ns"] = 1, stamp, self.t_ns
            s["gnss_pos_N"], s["gnss_vel_N"], s["gnss_pos_std"], s["gnss_vel_std"] = pos, vel, 0.6, 0.08
        return 0

    def write(self, command) -> int:
        c = command[0]
        act = self.t_ns + round(self.delay_ms * 1e6)
        self.commands.append((act, c["joint_torque_cmd"].copy(), c["mode"].copy()))
        h_ns = round(self.dt * 1e9 / self.substeps)
        for _ in range(self.substeps):
            while len(self.commands) > 1 and self.commands[1][0] <= self.t_ns:
                self.commands.pop(0)
            _, wanted, mode = self.commands[0]
            wanted = np.where(mode == 1, np.clip(wanted, -2.5, 2.5), 0.0)
            self.torque += (1 - math.exp(-h_ns * 1e-9 * 2 * math.pi * 250)) * (wanted - self.torque)
            if (mode == 4).any():
                self.torque = np.where(mode == 4, -0.04 * self.d.qvel[self.adr], self.torque)
            self._follow()
            mujoco.mj_step2(self.m, self.d)
            w = 2 * math.pi * GYRO_HZ
            bend = w * w * (self.d.sensordata[3:6] - self.gyro) - math.sqrt(2.0) * w * self.slope
            self.slope = self.slope + h_ns * 1e-9 * bend
            self.gyro = self.gyro + h_ns * 1e-9 * self.slope
            self.pos = self.pos + self.vel * h_ns * 1e-9
            self.t_ns += h_ns
            self.step += 1
        self._follow()
        mujoco.mj_forward(self.m, self.d)
        return 0

    def truth(self) -> dict:
        q = np.zeros(4)
        mujoco.mju_mat2Quat(q, self.d.site_xmat[0])
        return {"q_NC": q, "camera_pos_N": self.d.site_xpos[0].copy(), "target_pos_N": None}

    def safe(self) -> None:
        self.commands = [(0, np.zeros(3), np.full(3, 4))]

    def close(self) -> None:
        pass
