"""LiDARs by name, as their makers' manuals and data sheets describe them.

Angles of single units differ by tenths of a degree from these nominal ones; a calibration file
holds them. Reference ranges are what is published for targets of 10 % reflectance; where only a
range for bright ones (80 %) is, theirs is that divided by the square root of 8, as the power of
an extended target falls with the square of the range.

- ``hdl_64e``: Velodyne, HDL-64E S2 and S3 user's manuals: two blocks of 32 lasers, +2 to -8.33
  degrees by 1/3 and -8.83 to -24.33 by 1/2; 120 m to cars and foliage, 50 m to pavement.
- ``vlp_16``: Velodyne, VLP-16 user manual (63-9243): 2 degrees apart, firing cycle 55.296 us,
  100 m, 3 cm.
- ``vlp_32c``: Velodyne, VLP-32C user manual (63-9325), table of elevations and azimuth offsets;
  firing cycle 55.296 us, 200 m, 3 cm.
- ``os1_64``, ``os1_128``: Ouster, OS1 data sheet (generation 1): 33.2 and 45 degrees, 120 m at
  80 %, 40 m at 10 %, 1.5 cm, beams of 0.13 and 0.18 degrees, strongest return only in the
  makers' firmware of that time.
- ``pandar_64``: Hesai, Pandar64 user manual, channel distribution; 200 m at 10 %, 2 cm, columns
  0.2 degrees apart at 10 Hz.
- ``rs_m1``: RoboSense, RS-LiDAR-M1 user guide: no spinning parts; five channels side by side
  sweep 120 x 25 degrees line by line, 630 packets of 25 x 5 points a frame; 150 m at 10 %, 5 cm
  at most, taken as two standard deviations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from sim_perception.simulator.scenario_parts import LidarMount
from sim_perception.simulator.sensors.lidar_spec import LidarSpec

_BRIGHT = math.sqrt(8.0)
_VELODYNE_CYCLE = 55.296e-6
#: What a scenario may change of a named model, and its name in ``LidarSpec``.
_OPEN = {'columns': 'columns', 'max_range_m': 'max_range', 'range_noise_m': 'range_noise'}


@dataclass(frozen=True)
class LidarModel:
    """A product.

    Attributes:
        spec: at 10 turns a second.
        rates_hz: the lowest and the highest.
        cycle: seconds between columns where turning faster makes them fewer, else 0.
    """

    spec: LidarSpec
    rates_hz: tuple[float, float] = (5.0, 20.0)
    cycle: float = 0.0


def _velodyne(spec: LidarSpec) -> LidarModel:
    return LidarModel(spec, cycle=_VELODYNE_CYCLE)


_HDL_64E = tuple(2 - k / 3 for k in range(32)) + tuple(-8.83 - k / 2 for k in range(32))

#: Elevation and azimuth offset of each laser, from the top.
_VLP_32C = (
    (15, -1.4), (10.333, 1.4), (7, -1.4), (4.667, 1.4), (3.333, -1.4), (2.333, 1.4),
    (1.667, -4.2), (1.333, -1.4), (1, 1.4), (0.667, 4.2), (0.333, -4.2), (0, -1.4),
    (-0.333, 1.4), (-0.667, 4.2), (-1, -4.2), (-1.333, -1.4), (-1.667, 1.4), (-2, 4.2),
    (-2.333, -4.2), (-2.667, -1.4), (-3, 1.4), (-3.333, 4.2), (-3.667, -4.2), (-4, -1.4),
    (-4.667, 1.4), (-5.333, 4.2), (-6.148, -1.4), (-7.254, 1.4), (-8.843, -1.4),
    (-11.31, 1.4), (-15.639, -1.4), (-25, 1.4),
)  # fmt: skip

_PANDAR_64 = (
    14.882, 11.032, 8.059, 5.057, 3.040, 2.028, 1.860, 1.688, 1.522, 1.351, 1.184, 1.013, 0.846,
    0.675, 0.508, 0.337, 0.169, 0.0, -0.169, -0.337, -0.508, -0.675, -0.845, -1.013, -1.184,
    -1.351, -1.522, -1.688, -1.860, -2.028, -2.198, -2.365, -2.536, -2.700, -2.873, -3.040,
    -3.210, -3.375, -3.548, -3.712, -3.884, -4.050, -4.221, -4.385, -4.558, -4.720, -4.892,
    -5.057, -5.229, -5.391, -5.565, -5.726, -5.898, -6.061, -7.063, -8.059, -9.060, -9.885,
    -11.032, -12.006, -12.974, -13.930, -18.889, -24.897,
)  # fmt: skip
#: Azimuth offsets: the outer beams in one line, the 48 between them in rows of six.
_PANDAR_AZIMUTH = (
    (-1.042,) * 6
    + (1.042, 3.125, 5.208, -5.208, -3.125, -1.042) * 7
    + (1.042, 3.125, 5.208, -5.208, -3.125)
    + (-1.042,) * 11
)

MODELS: dict[str, LidarModel] = {
    'hdl_64e': LidarModel(
        LidarSpec(64, 2083, elevation_deg=_HDL_64E, min_range=0.9, max_range=120.0,
                  range_noise=0.02, reference_range=50.0, divergence_deg=0.115, separation=1.0),
        cycle=1 / 20833,
    ),
    'vlp_16': _velodyne(
        LidarSpec(16, 1808, fov_up_deg=15.0, fov_down_deg=-15.0, min_range=1.0, max_range=100.0,
                  range_noise=0.03, reference_range=100.0 / _BRIGHT, divergence_deg=0.18)
    ),
    'vlp_32c': _velodyne(
        LidarSpec(32, 1808, elevation_deg=tuple(e for e, _ in _VLP_32C),
                  azimuth_offset_deg=tuple(a for _, a in _VLP_32C), min_range=1.0,
                  max_range=200.0, range_noise=0.03, reference_range=200.0 / _BRIGHT,
                  divergence_deg=0.18)
    ),
    'os1_64': LidarModel(
        LidarSpec(64, 1024, fov_up_deg=16.6, fov_down_deg=-16.6, min_range=0.8, max_range=120.0,
                  range_noise=0.015, reference_range=40.0, divergence_deg=0.13),
        (10.0, 20.0),
    ),
    'os1_128': LidarModel(
        LidarSpec(128, 1024, fov_up_deg=22.5, fov_down_deg=-22.5, min_range=0.8, max_range=120.0,
                  range_noise=0.015, reference_range=40.0, divergence_deg=0.18),
        (10.0, 20.0),
    ),
    'pandar_64': LidarModel(
        LidarSpec(64, 1800, elevation_deg=_PANDAR_64, azimuth_offset_deg=_PANDAR_AZIMUTH,
                  min_range=0.3, max_range=200.0, range_noise=0.02, reference_range=200.0),
        cycle=1 / 18000,
    ),
    'rs_m1': LidarModel(
        LidarSpec(126, 625, fov_up_deg=12.5, fov_down_deg=-12.5, azimuth_start_deg=60.0,
                  azimuth_span_deg=120.0, channels=5, min_range=0.5, max_range=200.0,
                  range_noise=0.025, reference_range=150.0, divergence_deg=0.1),
        (10.0, 10.0),
    ),
}  # fmt: skip


def lidar_spec(mount: LidarMount, model: str = 'generic') -> LidarSpec:
    """Return the LiDAR that a scenario asks for.

    Args:
        mount: the scenario's field; other values than defaults go before the model's.
        model: the one drawn for this scene out of ``mount.model``.

    Raises:
        ValueError: for a rate that the model does not have.
    """
    effects: dict[str, Any] = {
        'dual': mount.returns == 'dual', 'glass': mount.glass, 'wet': mount.wet_road,
    }  # fmt: skip
    if model == 'generic':
        return LidarSpec(
            rings=mount.rings,
            columns=mount.columns,
            rate_hz=mount.rate_hz,
            fov_up_deg=mount.fov_up_deg,
            fov_down_deg=mount.fov_down_deg,
            max_range=mount.max_range_m,
            range_noise=mount.range_noise_m,
            **effects,
        )
    product = MODELS[model]
    low, high = product.rates_hz
    if not low <= mount.rate_hz <= high:
        raise ValueError(
            f'lidar.rate_hz = {mount.rate_hz:g}: a {model} turns at {low:g} to {high:g} Hz'
        )
    changes: dict[str, Any] = {'rate_hz': mount.rate_hz, **effects}
    if product.cycle:
        changes['columns'] = int(1 / (mount.rate_hz * product.cycle))
    for field, name in _OPEN.items():
        if mount.sets(field):
            changes[name] = getattr(mount, field)
    return replace(product.spec, **changes)
