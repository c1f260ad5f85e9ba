"""Limb poses of walkers and riders as functions of their phase; x forward, left limb first.

All functions are vectorised over N people and return (N, 4, 4) poses of limb meshes, which
hang down from their joint at the mesh's origin, in the person's ground frame.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

#: Limbs of a walker and of a rider, in the order of their joints.
WALKER_LIMBS = ('thigh', 'shin', 'arm', 'forearm')
RIDER_LIMBS = ('pedal_thigh', 'pedal_shin')

# Body measures at scale 1 (1.75 m tall), metres.
HIP, HIP_Y, THIGH, SHIN = 0.90, 0.085, 0.42, 0.42
SHOULDER, SHOULDER_Y, UPPER_ARM = 1.40, 0.195, 0.29
# Rider on a bicycle.
SADDLE_HIP, PEDAL_Y = (-0.14, 1.0), 0.10
CRANK, BOTTOM_BRACKET = 0.17, (0.05, 0.30)
#: Length of two steps at scale 1, metres.
STRIDE = 1.40
#: Metres travelled per turn of the cranks.
GEAR = 4.6


def compose(a: F64, b: F64) -> F64:
    """Return (N, 4, 4) products of rigid transforms, summed in a fixed order."""
    result = np.zeros(np.broadcast_shapes(a.shape, b.shape))
    for k in range(4):
        result += a[..., :, k, None] * b[..., None, k, :]
    return result


def turn(axis: int, angle: F64) -> F64:
    """Return (N, 4, 4) rotations by ``angle`` about a coordinate axis (0 x, 1 y, 2 z)."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.zeros((len(angle), 4, 4))
    matrix[:, axis, axis] = 1.0
    matrix[:, 3, 3] = 1.0
    matrix[:, i, i], matrix[:, j, j] = c, c
    matrix[:, i, j], matrix[:, j, i] = -s, s
    return matrix


def shift(x: F64 | float, y: F64 | float, z: F64 | float) -> F64:
    """Return (N, 4, 4) translations."""
    x, y, z = np.broadcast_arrays(np.atleast_1d(x), y, z)
    matrix = np.zeros((len(x), 4, 4))
    matrix[:] = np.eye(4)
    matrix[:, 0, 3], matrix[:, 1, 3], matrix[:, 2, 3] = x, y, z
    return matrix


def swing(speed: F64) -> F64:
    """Return how far limbs swing, 0 standing to about 1.2 hurrying."""
    return np.clip(speed / 1.1, 0.0, 1.25)


def bob(phase: F64, amplitude: F64, scale: F64) -> F64:
    """Return how far a walker's body sinks while the legs are apart, metres (negative)."""
    return -(THIGH + SHIN) * scale * (1 - np.cos(_hip_swing(amplitude) * np.sin(phase)))


def walker_limb(limb: str, side: int, phase: F64, amplitude: F64, scale: F64) -> F64:
    """Return the poses of one limb of walkers.

    Args:
        limb: one of ``WALKER_LIMBS``.
        side: +1 left, -1 right.
        phase: (N,) radians, one turn per two steps.
        amplitude: (N,) from ``swing``.
        scale: (N,) body height over 1.75 m.
    """
    own = phase if side > 0 else phase + np.pi
    lift = bob(phase, amplitude, scale)
    if limb in ('thigh', 'shin'):
        hip = shift(0.0 * scale, side * HIP_Y * scale, HIP * scale + lift)
        upper = compose(hip, turn(1, -_hip_swing(amplitude) * np.sin(own)))
        if limb == 'thigh':
            return upper
        bend = amplitude * (0.12 + 0.85 * np.clip(np.cos(own - 0.35), 0, None))
        return compose(upper, compose(shift(0.0 * scale, 0.0, -THIGH * scale), turn(1, bend)))
    shoulder = shift(0.0 * scale, side * SHOULDER_Y * scale, SHOULDER * scale + lift)
    upper = compose(shoulder, turn(1, 0.45 * amplitude * np.sin(own) + 0.03))
    upper = compose(upper, turn(0, np.full(len(phase), side * 0.09)))
    if limb == 'arm':
        return upper
    bend = -(0.15 + amplitude * (0.2 + 0.2 * np.clip(-np.sin(own), 0, None)))
    return compose(upper, compose(shift(0.0 * scale, 0.0, -UPPER_ARM * scale), turn(1, bend)))


def _hip_swing(amplitude: F64) -> F64:
    return 0.42 * amplitude


def rider_limb(limb: str, side: int, phase: F64, scale: F64) -> F64:
    """Return the poses of a leg's part of riders whose feet turn the cranks.

    Args:
        limb: one of ``RIDER_LIMBS``.
        side: +1 left, -1 right.
        phase: (N,) crank angle, radians.
        scale: (N,) body height over 1.75 m.
    """
    own = phase if side > 0 else phase + np.pi
    hip_x, hip_z = SADDLE_HIP
    # The ankle stands a little above the pedal.
    dx = BOTTOM_BRACKET[0] + CRANK * np.cos(own) - 0.04 - hip_x
    dz = BOTTOM_BRACKET[1] - CRANK * np.sin(own) + 0.10 - hip_z
    thigh, shin = THIGH * scale, SHIN * scale
    reach = np.minimum(np.sqrt(dx * dx + dz * dz), thigh + shin - 1e-3)
    # Angles from straight down, forward positive.
    aim = np.arctan2(dx, -dz)
    open_hip = np.arccos((thigh**2 + reach**2 - shin**2) / (2 * thigh * reach))
    open_knee = np.arccos((thigh**2 + shin**2 - reach**2) / (2 * thigh * shin))
    hip = shift(hip_x + 0.0 * scale, side * PEDAL_Y, hip_z)
    upper = compose(hip, turn(1, -(aim + open_hip)))
    if limb == 'pedal_thigh':
        return upper
    return compose(upper, compose(shift(0.0 * scale, 0.0, -thigh), turn(1, np.pi - open_knee)))
