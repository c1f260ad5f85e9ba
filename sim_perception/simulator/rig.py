"""The sensors that a vehicle carries: what a scenario's ``sensors`` list may say of each.

A place is written as in URDF: ``xyz`` in metres and ``rpy`` in radians (about fixed x, y, z), of
the sensor's link in ``base_link``, which lies on the ground under the vehicle's centre. A link
looks along x, z is up, a camera's too: its optical frame is made from it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from sim_perception.files import read_yaml
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler
from sim_perception.types import Camera

F64 = npt.NDArray[np.float64]

_NAME = re.compile(r'[A-Za-z]\w*(/[A-Za-z]\w*)*', re.ASCII)
_TOPICS = {'camera': ('image_raw', 'camera_info'), 'lidar': ('points',)}
_BASELINE_TOLERANCE = 0.1
"""Of the baseline: a calibration's and that of the places."""

Coordinate = Annotated[float, Field(ge=-20, le=20)]
Height = Annotated[float, Field(ge=0.05, le=20)]
Angle = Annotated[float, Field(ge=-2 * np.pi, le=2 * np.pi)]


class _Matrix(BaseModel):
    """A matrix as camera_calibration writes it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    rows: int = 0
    cols: int = 0
    data: tuple[float, ...]


class Calibration(BaseModel):
    """A camera's calibration as ``camera_calibration`` and ``camera_info_manager`` write it.

    The lens is pinhole with at most five coefficients (``plumb_bob``).
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    image_width: Annotated[int, Field(ge=16, le=8192)]
    image_height: Annotated[int, Field(ge=16, le=8192)]
    camera_matrix: _Matrix
    distortion_model: str = 'plumb_bob'
    distortion_coefficients: _Matrix = _Matrix(data=())
    rectification_matrix: _Matrix = _Matrix(data=(1, 0, 0, 0, 1, 0, 0, 0, 1))
    projection_matrix: _Matrix | None = None

    @model_validator(mode='after')
    def _usable(self) -> Calibration:
        for name, count in (('camera', 9), ('rectification', 9), ('projection', 12)):
            matrix = getattr(self, f'{name}_matrix')
            if matrix is not None and len(matrix.data) != count:
                raise ValueError(f'{name}_matrix needs {count} numbers, has {len(matrix.data)}')
        lens = np.trim_zeros(np.array(self.distortion_coefficients.data), 'b')
        if len(lens) and (self.distortion_model not in ('', 'plumb_bob') or len(lens) > 5):
            raise ValueError(
                f'the simulator draws lenses of plumb_bob with up to 5 coefficients, not '
                f'{self.distortion_model} with {len(lens)}; calibrate with the standard model'
            )
        return self

    def camera(self) -> Camera:
        """Return the camera of the raw images.

        Raises:
            ValueError: for focal lengths that are not positive.
        """
        k = self.camera_matrix.data
        lens = np.trim_zeros(np.array(self.distortion_coefficients.data, float), 'b').tolist()
        return Camera(self.image_width, self.image_height, k[0], k[4], k[2], k[5], tuple(lens))

    @property
    def baseline(self) -> float:
        """Metres that the projection says the camera lies right of the first one of a pair."""
        if self.projection_matrix is None or not self.projection_matrix.data[0]:
            return 0.0
        return -self.projection_matrix.data[3] / self.projection_matrix.data[0]


def _ros_name(value: str) -> str:
    if not _NAME.fullmatch(value.lstrip('/')) or value.strip('/') == 'ground_truth':
        raise ValueError(
            'must be a name of ROS: letters, digits, _ and /, a letter first in every part'
        )
    return value


class SensorMount(BaseModel):
    """One sensor of the list.

    Attributes:
        name: of the sensor: the namespace of its topics, and of its frame.
        kind: ``camera`` or ``lidar``.
        xyz, rpy: pose of its link in ``base_link``, metres and radians.
        rate_hz: images or turns per second; by default the scenario's ``frame_rate_hz``, the
            LiDAR's ``rate_hz``.
        topics: other names than the usual ones, by ``image_raw``, ``camera_info``, ``points``.
        frame_id: another frame than ``NAME_optical_frame`` of cameras, ``NAME`` of LiDARs.
        calibration: of a camera: a camera_info YAML file, relative to the scenario's, or what is
            in it. Image size, focal lengths and lens are its own then.
        stereo_with: of a camera that is the right one of a pair: the name of the left one.
        settings: fields of the scenario's ``camera`` or ``lidar`` that this one has otherwise.
    """

    model_config = ConfigDict(extra='forbid', frozen=True, validate_default=True)

    name: Annotated[str, AfterValidator(_ros_name)]
    kind: Literal['camera', 'lidar']
    xyz: tuple[Coordinate, Coordinate, Height]
    rpy: tuple[Angle, Angle, Angle] = (0.0, 0.0, 0.0)
    rate_hz: Annotated[float, Field(ge=0.1, le=100)] | None = None
    topics: dict[str, Annotated[str, AfterValidator(_ros_name)]] = {}
    frame_id: str = ''
    calibration: Calibration | None = None
    stereo_with: str = ''
    settings: dict[str, Any] = {}

    @field_validator('calibration', mode='before')
    @classmethod
    def _is_read(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError('a calibration file is read where the scenario is a file')
        return value

    @model_validator(mode='after')
    def _fits_kind(self) -> SensorMount:
        known = _TOPICS[self.kind]
        unknown = set(self.topics) - set(known)
        if unknown:
            raise ValueError(f'topics: unknown {sorted(unknown)}; a {self.kind} has {known}')
        if self.kind == 'lidar' and (self.calibration or self.stereo_with):
            raise ValueError('a lidar has neither calibration nor stereo_with')
        return self

    @property
    def base_T_link(self) -> F64:
        """The 4x4 pose of the link."""
        return np.asarray(from_euler(*self.rpy, np.array(self.xyz)), np.float64)

    @property
    def base_T_sensor(self) -> F64:
        """The 4x4 pose of the frame that data are in: the optical frame of a camera."""
        turn = BODY_T_OPTICAL if self.kind == 'camera' else np.eye(4)
        return np.asarray(self.base_T_link @ turn, np.float64)


@dataclass(frozen=True)
class Stream:
    """What a sensor sends.

    Attributes:
        name, kind: of the sensor.
        rate_hz: images or turns per second.
        frame_id: of its data.
        topics: names by ``image_raw``, ``camera_info``, ``points``, with a leading slash.
    """

    name: str
    kind: Literal['camera', 'lidar']
    rate_hz: float
    frame_id: str
    topics: tuple[tuple[str, str], ...]

    @property
    def period(self) -> float:
        """Seconds between two images or turns."""
        return 1.0 / self.rate_hz


def stream_of(
    name: str,
    kind: Literal['camera', 'lidar'],
    rate_hz: float,
    frame_id: str = '',
    topics: dict[str, str] | None = None,
) -> Stream:
    """Return what a sensor sends, under the usual names where no others are given."""
    named = {leaf: f'/{name}/{leaf}' for leaf in _TOPICS[kind]}
    named |= {leaf: '/' + topic.strip('/') for leaf, topic in (topics or {}).items()}
    usual = name.replace('/', '_') + ('_optical_frame' if kind == 'camera' else '')
    return Stream(name, kind, rate_hz, frame_id or usual, tuple(named.items()))


def check_rig(sensors: Sequence[SensorMount]) -> None:
    """Check what several sensors say together.

    Raises:
        ValueError: for no camera, a name, topic or frame that is there twice, or a stereo pair
            whose left camera is not there or whose places contradict it.
    """
    if not any(sensor.kind == 'camera' for sensor in sensors):
        raise ValueError('sensors: one of them must be a camera')
    streams = [stream_of(s.name, s.kind, 1.0, s.frame_id, s.topics) for s in sensors]
    topics = [topic for stream in streams for _, topic in stream.topics]
    for what, names in (
        ('name', [s.name for s in sensors]),
        ('topic', topics),
        ('frame', [stream.frame_id for stream in streams]),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f'sensors: {what} {", ".join(twice)} is there more than once')
    for number, sensor in enumerate(sensors):
        if sensor.stereo_with:
            _check_pair(sensor, {s.name: s for s in sensors[:number] if s.kind == 'camera'})


def _check_pair(right: SensorMount, before: dict[str, SensorMount]) -> None:
    """Check a stereo pair's left camera and places."""
    left = before.get(right.stereo_with)
    if left is None or left.stereo_with:
        raise ValueError(
            f'sensors: {right.name}.stereo_with {right.stereo_with!r} must name a left camera '
            f'before it; there are {", ".join(before) or "none"}'
        )
    if (left.calibration is None) != (right.calibration is None):
        raise ValueError(
            f'sensors: of the pair {left.name}, {right.name} both need a calibration, or none'
        )
    between = np.linalg.inv(left.base_T_sensor) @ right.base_T_sensor
    x, *others = between[:3, 3].tolist()
    if right.calibration is not None:
        said = right.calibration.baseline
        if abs(np.linalg.norm(between[:3, 3]) - said) > _BASELINE_TOLERANCE * said:
            raise ValueError(
                f'sensors: {right.name}: its calibration says that it is {said:.4f} m from the '
                f'left camera, xyz say {np.linalg.norm(between[:3, 3]):.4f} m'
            )
    elif (
        not np.allclose(between[:3, :3], np.eye(3), atol=1e-6)
        or x <= 0
        or any(abs(v) > 1e-6 for v in others)
    ):
        raise ValueError(
            f'sensors: {right.name} must look as {left.name} does and lie to its right; give '
            'both a calibration for a pair that is to be rectified'
        )


def located_calibrations(sensors: object, folder: Path) -> object:
    """Return a scenario's list with what its calibration files say in place of their names.

    Raises:
        FileError, OSError: if one cannot be read.
    """
    if not isinstance(sensors, list):
        return sensors
    return [
        {**entry, 'calibration': read_yaml(folder / entry['calibration'])}
        if isinstance(entry, dict) and isinstance(entry.get('calibration'), str)
        else entry
        for entry in sensors
    ]
