"""Labelled frames as values and as JSON files, which every export is made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.files import mapping, read_json, safe_name, write_json
from sim_perception.types import Box3D, Camera, FloatArray, ShapeLabel

Array = npt.NDArray[np.floating]

FORMAT = 1
_TEXTS = ('name', 'level_frame', 'camera_frame', 'world_frame')
_LABEL_ARRAYS = ('latent', 'covariance')


class RecordError(ValueError):
    """A file of labels cannot be read; the message says which and why."""


@dataclass(frozen=True)
class LabelledFrame:
    """One frame and what labelling says about its objects.

    Attributes:
        name: unique in its data set; names its files.
        stamp: nanoseconds.
        camera: an ideal pinhole.
        camera_T_level: 4x4, maps the level frame of the labels to the optical frame.
        labels: accepted and rejected ones.
        world_T_level: 4x4 pose of the level frame in a frame that stands still, if known.
        level_frame, camera_frame, world_frame: their names in ROS, or ''.
    """

    name: str
    stamp: int
    camera: Camera
    camera_T_level: Array
    labels: tuple[ShapeLabel, ...]
    world_T_level: Array | None = None
    level_frame: str = 'base_link'
    camera_frame: str = ''
    world_frame: str = 'odom'

    @property
    def accepted(self) -> tuple[ShapeLabel, ...]:
        """The labels that may be used."""
        return tuple(label for label in self.labels if label.accepted)


def pose_covariance(label: ShapeLabel) -> FloatArray:
    """Return the (36,) covariance of x, y, z and turns about them; 0 where it is not known."""
    full = np.zeros((6, 6))
    if label.covariance is not None:
        full[np.ix_([0, 1, 2, 5], [0, 1, 2, 5])] = label.covariance[:4, :4]
    return full.reshape(-1)


def write_frame(frame: LabelledFrame, path: Path) -> None:
    """Write a labelled frame as JSON, atomically."""
    write_json(path, to_json(frame))


def read_frame(path: Path) -> LabelledFrame:
    """Read a labelled frame.

    Raises:
        RecordError: if the file is absent or malformed.
    """
    try:
        return from_json(mapping(read_json(path), path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f'{path} is no labelled frame: {error!r}') from error


def read_frames(folder: Path) -> Iterator[LabelledFrame]:
    """Yield the labelled frames of a folder by name.

    Raises:
        RecordError: if a file is malformed.
    """
    for path in sorted(folder.glob('*.json')):
        yield read_frame(path)


def to_json(frame: LabelledFrame) -> dict[str, Any]:
    """Return a frame as JSON values; numbers keep all their digits."""
    values = {**vars(frame), 'format': FORMAT, 'camera': asdict(frame.camera)}
    values['camera_T_level'] = frame.camera_T_level.tolist()
    if frame.world_T_level is not None:
        values['world_T_level'] = frame.world_T_level.tolist()
    values['labels'] = [_label_to_json(label) for label in frame.labels]
    return values


def from_json(values: dict[str, Any]) -> LabelledFrame:
    """Return the frame of JSON values.

    Raises:
        RecordError: for another format.
        KeyError, TypeError, ValueError: for values that are none of this module's.
    """
    values = dict(values)
    if values.pop('format') != FORMAT:
        raise RecordError(f'this version reads format {FORMAT}; label the bag anew')
    camera = dict(values.pop('camera'))
    camera['distortion'] = tuple(camera['distortion'])
    world = values.pop('world_T_level')
    for name in _TEXTS:
        if not isinstance(values[name], str):
            raise RecordError(f'{name} must be text')
    if not isinstance(values['stamp'], int):
        raise RecordError('stamp must be a whole number')
    if values['name'] != safe_name(values['name']):
        raise RecordError(f'the name {values["name"]!r} cannot name files; label the bag anew')
    return LabelledFrame(
        camera=Camera(**camera),
        camera_T_level=_pose(values.pop('camera_T_level')),
        world_T_level=None if world is None else _pose(world),
        labels=tuple(_label_from_json(label) for label in values.pop('labels')),
        **values,
    )


def _pose(values: Any) -> Array:
    """Return a 4x4 transform of finite numbers."""
    pose = np.array(values, float).reshape(4, 4)
    if not np.isfinite(pose).all():
        raise RecordError('a pose has values that are not finite')
    return pose


def _label_to_json(label: ShapeLabel) -> dict[str, Any]:
    values = dict(vars(label))
    if label.box3d is not None:
        pose = np.asarray(label.box3d.parent_T_box, float)
        values['box3d'] = {'parent_T_box': pose.tolist(), 'size': list(label.box3d.size)}
    for name in _LABEL_ARRAYS:
        if values[name] is not None:
            values[name] = np.asarray(values[name], float).tolist()
    return values


def _label_from_json(values: dict[str, Any]) -> ShapeLabel:
    values = dict(values)
    box = values['box3d']
    if box is not None:
        values['box3d'] = Box3D(_pose(box['parent_T_box']), tuple(box['size']))
    for name in _LABEL_ARRAYS:
        if values[name] is not None:
            values[name] = np.array(values[name], float)
    for name in ('box2d', 'body_size'):
        if values[name] is not None:
            values[name] = tuple(values[name])
    return ShapeLabel(**values)
