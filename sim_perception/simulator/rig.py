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
from scipy.spatial.transform import Rotation

from sim_perception.calibration import Calibration, calibration_fields, read_link_pose
from sim_perception.files import FileError
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler

F64 = npt.NDArray[np.float64]

_NAME = re.compile(r'[A-Za-z]\w*(/[A-Za-z]\w*)*', re.ASCII)
_TOPICS = {'camera': ('image_raw', 'camera_info'), 'lidar': ('points',)}
_BASELINE_TOLERANCE = 0.1
"""Of the baseline: a calibration's and that of the places."""
_DRAWN, _MOST_LENS = ('', 'plumb_bob'), 5
"""Models of lenses that the simulator draws, and their coefficients at most."""

Coordinate = Annotated[float, Field(ge=-20, le=20)]
Height = Annotated[float, Field(ge=0.05, le=20)]
Angle = Annotated[float, Field(ge=-2 * np.pi, le=2 * np.pi)]


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
        xyz, rpy: pose of its link in ``base_link``, metres and radians. In a file,
            ``urdf: robot.urdf#LINK`` may stand for both.
        rate_hz: images or turns per second; by default the scenario's ``frame_rate_hz``, the
            LiDAR's ``rate_hz``.
        topics: other names than the usual ones, by ``image_raw``, ``camera_info``, ``points``.
        frame_id: another frame than ``NAME_optical_frame`` of cameras, ``NAME`` of LiDARs.
        calibration: of a camera: a camera_info YAML file, relative to the scenario's, or what is
            in it; or a camera of kalibr's, ``camchain.yaml#cam0``. Image size, focal lengths and
            lens are its own then.
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

    @field_validator('calibration')
    @classmethod
    def _can_be_drawn(cls, value: Calibration | None) -> Calibration | None:
        count = 0 if value is None else len(value.lens)
        if value is None or not count:
            return value
        if value.distortion_model not in _DRAWN or count > _MOST_LENS:
            raise ValueError(
                f'the simulator draws lenses of plumb_bob with up to {_MOST_LENS} coefficients, '
                f'not {value.distortion_model} with {count}; calibrate with the standard model'
            )
        return value

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


def located_files(sensors: object, folder: Path) -> object:
    """Return a scenario's list with what files say in place of their names.

    Names are relative to the scenario's folder: ``calibration``, and ``urdf: FILE#LINK``, which
    gives xyz and rpy.

    Raises:
        FileError, OSError: if one cannot be read, or a place is given twice.
    """
    if not isinstance(sensors, list):
        return sensors
    return [_located(entry, folder) if isinstance(entry, dict) else entry for entry in sensors]


def _located(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    found = dict(entry)
    if isinstance(found.get('calibration'), str):
        found['calibration'] = calibration_fields(folder / found['calibration'])[0]
    if 'urdf' in found:
        where = found.pop('urdf')
        if 'xyz' in found or 'rpy' in found:
            raise FileError(f'{found.get("name")}: give urdf or xyz and rpy, not both')
        pose = read_link_pose(folder / str(where))
        found['xyz'] = pose[:3, 3].tolist()
        found['rpy'] = Rotation.from_matrix(pose[:3, :3]).as_euler('xyz').tolist()
    return found
