"""How the subject moves: the mean in the velocity frame, the covariance by Singer's model.

The specific force a - g of a wing turns with its velocity (heading about the vertical, pitch about the side axis)
and grows with the square of its speed; its share along the velocity relaxes to a slow drag, the side force to zero,
the lift to trim. The covariance takes the acceleration as a first-order Gauss-Markov process (Singer, IEEE TAES
6(4), 1970, doi 10.1109/TAES.1970.310128) with unequal strength along and across the velocity; where the velocity is
not known well (no Doppler at 1 Hz) the mean follows Singer's model too.
"""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel

G = 9.80665
MAX_ACCEL = 45.0  # m/s²: beyond, the square law would run away on bad velocities
MAX_GROWTH = 1.0  # 1/s
STEP_S = 0.125  # longest step of the mean


@kernel
def jerk(p, v, a, drag, frame, tau):
    """Rate of change of the acceleration, m/s³, by the model in force (``p["model"]``)."""
    sx, sy, sz = -a[0] / tau, -a[1] / tau, -a[2] / tau
    speed2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2]
    low = p["low_speed_m_s"]
    h2 = v[0] * v[0] + v[1] * v[1]
    w = frame * speed2 / (speed2 + low * low) * h2 / (h2 + p["steep"] ** 2 * speed2 + 1e-9)
    if w < 1e-6:
        return (sx, sy, sz)
    speed = math.sqrt(speed2)
    h = math.sqrt(h2) + 1e-9
    tx, ty, tz = v[0] / speed, v[1] / speed, v[2] / speed
    lx, ly = -v[1] / h, v[0] / h
    nx, ny, nz = -tz * ly, tz * lx, tx * ly - ty * lx  # t x l
    at = a[0] * tx + a[1] * ty + a[2] * tz
    an = a[0] * nx + a[1] * ny + a[2] * nz
    fx, fy, fz = a[0], a[1], a[2] - G
    ft = fx * tx + fy * ty + fz * tz
    fl = fx * lx + fy * ly
    fn = fx * nx + fy * ny + fz * nz
    heading = p["gain_turn"] * (v[0] * a[1] - v[1] * a[0]) / (h2 + low * low)
    pitch = -p["gain_turn"] * an * speed / (speed2 + low * low)  # about l, nose up positive
    ox, oy, oz = pitch * lx, pitch * ly, heading
    grow = p["gain_square"] * 2.0 * at / speed
    grow = min(max(grow, -MAX_GROWTH), MAX_GROWTH)
    dt_ = (-drag * speed2 - ft) / p["tau_drag_s"]
    dl = -fl / p["tau_turn_s"]
    dn = (-G * h / speed - fn) / p["tau_lift_s"]
    jx = oy * fz - oz * fy + grow * fx + dt_ * tx + dl * lx + dn * nx
    jy = oz * fx - ox * fz + grow * fy + dt_ * ty + dl * ly + dn * ny
    jz = ox * fy - oy * fx + grow * fz + dt_ * tz + dn * nz
    return (sx + w * (jx - sx), sy + w * (jy - sy), sz + w * (jz - sz))


@kernel
def memory(p, frame):
    """Correlation time of the acceleration, s: shorter where the velocity is too uncertain for the velocity frame."""
    return p["tau_plain_s"] + frame * (p["tau_singer_s"] - p["tau_plain_s"])


@kernel
def propagate_mean(p, x, frame, drag, dt):
    """Advance p, v, a in x by dt (s, either sign): midpoint rule in steps of at most STEP_S.

    ``frame`` is the share, 0 to 1, of the velocity frame in a mean that is otherwise Singer's.
    """
    if p["model"] == 3.0:
        for i in range(3):
            x[i] += dt * x[3 + i]
            x[6 + i] = 0.0
        return
    if p["model"] != 0.0:
        frame = 1.0 if p["model"] == 1.0 else 0.0
    tau = memory(p, frame)
    n = max(1, int(math.ceil(abs(dt) / STEP_S - 1e-9)))
    h = dt / n
    for _ in range(n):
        v = (x[3], x[4], x[5])
        a = (x[6], x[7], x[8])
        vm, am, j = v, a, a
        for stage in range(2):
            j = jerk(p, vm, am, drag, frame, tau)
            if stage == 0:
                am = (a[0] + 0.5 * h * j[0], a[1] + 0.5 * h * j[1], a[2] + 0.5 * h * j[2])
                vm = (v[0] + 0.5 * h * a[0], v[1] + 0.5 * h * a[1], v[2] + 0.5 * h * a[2])
        big = 0.0
        for i in range(3):
            x[i] += h * (v[i] + h * (0.5 * a[i] + h * j[i] / 6.0))
            x[3 + i] += h * (a[i] + 0.5 * h * j[i])
            x[6 + i] += h * j[i]
            big += x[6 + i] * x[6 + i]
        if big > MAX_ACCEL * MAX_ACCEL:
            s = MAX_ACCEL / math.sqrt(big)
            for i in range(3):
                x[6 + i] *= s


@kernel
def singer(tau, dt):
    """(F12, F02, F22, q00, q01, q02, q11, q12, q22) of Singer's model for unit variance: Bar-Shalom, Li, Kirubarajan,
    Estimation with Applications to Tracking and Navigation (2001), eq. 8.2.3."""
    u = dt / tau
    if u < 0.1:  # the closed form cancels: series to the third term
        f22 = math.exp(-u)
        f12 = dt * (1.0 - u / 2.0 + u * u / 6.0)
        f02 = dt * dt * (0.5 - u / 6.0 + u * u / 24.0)
        q = 2.0 / tau
        q00 = q * dt**5 * (1.0 / 20.0 - u / 36.0 + u * u / 112.0)
        q01 = q * dt**4 * (1.0 / 8.0 - u / 12.0 + 5.0 * u * u / 144.0)
        q02 = q * dt**3 * (1.0 / 6.0 - u / 6.0 + 11.0 * u * u / 120.0)
        q11 = q * dt**3 * (1.0 / 3.0 - u / 4.0 + 7.0 * u * u / 60.0)
        q12 = q * dt**2 * (0.5 - u / 2.0 + 7.0 * u * u / 24.0)
        q22 = q * dt * (1.0 - u + 2.0 * u * u / 3.0)
        return (f12, f02, f22, q00, q01, q02, q11, q12, q22)
    e = math.exp(-u)
    e2 = e * e
    f12 = tau * (1.0 - e)
    f02 = tau * tau * (e - 1.0 + u)
    q00 = tau**4 * (1.0 - e2 + 2.0 * u + 2.0 * u**3 / 3.0 - 2.0 * u * u - 4.0 * u * e)
    q01 = tau**3 * (e2 + 1.0 - 2.0 * e + 2.0 * u * e - 2.0 * u + u * u)
    q02 = tau**2 * (1.0 - e2 - 2.0 * u * e)
    q11 = tau**2 * (4.0 * e - 3.0 - e2 + 2.0 * u)
    q12 = tau * (e2 + 1.0 - 2.0 * e)
    q22 = 1.0 - e2
    return (f12, f02, e, q00, q01, q02, q11, q12, q22)


@kernel
def noise_shape(p, f):
    """Variance of Singer's acceleration of filter f as across * I + along * v v'."""
    x = f["x"]
    speed2 = x[3] * x[3] + x[4] * x[4] + x[5] * x[5]
    full = p["full_speed_m_s"]
    accel2 = x[6] * x[6] + x[7] * x[7] + x[8] * x[8]
    scale = min(1.0, 0.2 + 0.8 * speed2 / (full * full)) * (1.0 + accel2 / p["lively_m_s2"] ** 2)
    across = p["sigma_n"] ** 2 * scale
    along = p["sigma_t"] ** 2 * scale + p["sigma_t_per_s"] ** 2 * speed2
    return across, (along - across) / (speed2 + p["low_speed_m_s"] ** 2)


@kernel
def propagate_covariance(p, f, dt):
    """Advance the covariance of filter f by dt >= 0 (s), with f's velocity before the mean moves; and the bias, which
    forgets (first-order Gauss-Markov)."""
    x = f["x"]
    P = f["P"]
    f12, f02, f22, q00, q01, q02, q11, q12, q22 = singer(memory(p, f["frame"]), dt)
    n = f["n"]
    for j in range(n):  # rows, then columns of F P F'
        for i in range(3):
            a = P[6 + i, j]
            v = P[3 + i, j]
            P[i, j] += dt * v + f02 * a
            P[3 + i, j] = v + f12 * a
            P[6 + i, j] = f22 * a
    for j in range(n):
        for i in range(3):
            a = P[j, 6 + i]
            v = P[j, 3 + i]
            P[j, i] += dt * v + f02 * a
            P[j, 3 + i] = v + f12 * a
            P[j, 6 + i] = f22 * a
    across, along = noise_shape(p, f)
    for i in range(3):
        for j in range(3):
            s = along * x[3 + i] * x[3 + j] + (across if i == j else 0.0)
            P[i, j] += s * q00
            P[i, 3 + j] += s * q01
            P[3 + i, j] += s * q01
            P[i, 6 + j] += s * q02
            P[6 + i, j] += s * q02
            P[3 + i, 3 + j] += s * q11
            P[3 + i, 6 + j] += s * q12
            P[6 + i, 3 + j] += s * q12
            P[6 + i, 6 + j] += s * q22
    for k in range(9, min(n, 15), 3):  # drift, then bias
        e = math.exp(-dt / (p["drift_tau_s"] if k == 9 else p["bias_tau_s"]))
        for i in range(k, k + 3):
            std = p["drift_m_s"] if k == 9 else (p["bias_v_m"] if i == 14 else p["bias_h_m"])
            x[i] *= e
            for j in range(n):
                P[i, j] *= e
            for j in range(n):
                P[j, i] *= e
            P[i, i] += (1.0 - e * e) * std * std
    if n > 12:
        P[15, 15] += p["delay_walk_s"] * p["delay_walk_s"] * dt
        e = math.exp(-dt / p["heading_tau_s"])
        x[16] *= e
        for j in range(n):
            P[16, j] *= e
        for j in range(n):
            P[j, 16] *= e
        P[16, 16] += (1.0 - e * e) * f["heading_std"] * f["heading_std"]


@kernel
def propagate(p, f, t):
    """Advance filter f to time t (s); an earlier t leaves it alone."""
    dt = t - f["t"]
    if dt <= 0.0:
        return
    propagate_covariance(p, f, dt)
    propagate_mean(p, f["x"], f["frame"], f["drag"], dt)
    f["t"] = t
