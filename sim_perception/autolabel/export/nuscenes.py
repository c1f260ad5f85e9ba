"""Labels as the tables of nuScenes: a JSON list per table, rows that name each other by token."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.export.base import (
    IMAGES,
    LabelExport,
    LabelledRecording,
    all_frames,
    scan_file,
    scan_points,
    visibility_of,
)
from sim_perception.autolabel.records import LabelledFrame
from sim_perception.files import write_atomically, write_json
from sim_perception.geometry.transforms import invert, to_quaternion
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import ShapeLabel

Rows = list[dict[str, Any]]

CATEGORIES = {
    'car': 'vehicle.car', 'truck': 'vehicle.truck', 'pedestrian': 'human.pedestrian.adult',
    'cyclist': 'vehicle.bicycle',
}  # fmt: skip
"""nuScenes' name of the taxonomy's classes; others keep their own."""
CHANNEL = 'CAM_FRONT'
LIDAR_CHANNEL = 'LIDAR_TOP'
_VISIBLE = (0.4, 0.6, 0.8)
"""Shares where nuScenes' four levels of visibility change."""


class NuscenesExport(LabelExport):
    """``nuscenes/``: the tables of ``write_nuscenes``; scans are in ``samples/LIDAR_TOP``.

    The data set's folder is nuScenes' ``dataroot``, its version is called ``nuscenes``.
    """

    needs_scans = True

    def write_all(
        self, recordings: Sequence[LabelledRecording], taxonomy: Taxonomy, out: Path
    ) -> None:
        """Write the tables, and the scans as nuScenes has them."""
        scans = {}
        for frame in all_frames(recordings):
            path = scan_file(out, frame.name)
            if path is not None:
                scans[frame.name] = f'samples/{LIDAR_CHANNEL}/{frame.name}.pcd.bin'
                rows = np.zeros((len(points := scan_points(path)), 5), '<f4')
                rows[:, :3] = points
                write_atomically(out / scans[frame.name], rows.tobytes())
        write_nuscenes(recordings, taxonomy, out / 'nuscenes', scans)


def token(*parts: object) -> str:
    """Return the token of a row: 32 hexadecimal digits, the same for the same parts."""
    return hashlib.sha256('/'.join(map(str, parts)).encode()).hexdigest()[:32]


def write_nuscenes(
    recordings: Sequence[LabelledRecording],
    taxonomy: Taxonomy,
    folder: Path,
    scans: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the tables of some recordings, a scene each.

    Boxes are in the frame that stands still, or in the level frame where its pose is not known;
    the level frame is the ego's. Objects without identity are instances of their own.

    Args:
        recordings: labelled ones.
        taxonomy: names the classes.
        folder: for ``category.json`` and so on.
        scans: files of the scans by frame, relative to the data root; in the level frame.
    """
    joined: dict[str, dict[str, dict[str, Any]]] = {}
    for recording in recordings:
        own = {f.name: scans[f.name] for f in recording.frames if f.name in scans}
        for name, rows in tables(recording.frames, recording.name, taxonomy, own).items():
            # classes and sensors are the same rows in all of them
            joined.setdefault(name, {}).update({row['token']: row for row in rows})
    for name, by_token in joined.items():
        write_json(folder / f'{name}.json', list(by_token.values()))


def tables(
    frames: Sequence[LabelledFrame],
    scene: str,
    taxonomy: Taxonomy,
    scans: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Rows]:
    """Return the rows of every table of one recording; see ``write_nuscenes``."""
    samples = [token(scene, 'sample', frame.name) for frame in frames]
    annotations = _annotations(frames, scene, samples)
    instances = _instances(annotations, scene, taxonomy)
    levels = [(1, 'v0-40'), (2, 'v40-60'), (3, 'v60-80'), (4, 'v80-100')]
    return {
        'category': [
            {
                'token': token('category', n),
                'name': CATEGORIES.get(n, n),
                'description': '',
                'index': k,
            }
            for k, n in enumerate(taxonomy.names)
        ],
        'attribute': [],
        'visibility': [
            {'token': str(k), 'level': level, 'description': ''} for k, level in levels
        ],
        'sensor': _sensors(scans),
        'calibrated_sensor': [
            *(_calibration(frame, scene) for frame in frames),
            *_lidar_mounting(scene, scans),
        ],
        'ego_pose': [
            {
                'token': token(scene, 'ego_pose', frame.name),
                'timestamp': frame.stamp // 1000,
                **_placed(_world(frame)),
            }
            for frame in frames
        ],
        'log': [
            {
                'token': token(scene, 'log'),
                'logfile': scene,
                'vehicle': '',
                'date_captured': '',
                'location': '',
            }
        ],
        'map': [
            {
                'token': token(scene, 'map'),
                'log_tokens': [token(scene, 'log')],
                'category': '',
                'filename': '',
            }
        ],
        'scene': [
            {
                'token': token(scene),
                'log_token': token(scene, 'log'),
                'nbr_samples': len(frames),
                'first_sample_token': samples[0] if samples else '',
                'last_sample_token': samples[-1] if samples else '',
                'name': scene,
                'description': 'automatic labels',
            }
        ],
        'sample': [
            {
                'token': own,
                'timestamp': frame.stamp // 1000,
                'scene_token': token(scene),
                **_neighbours(samples, k),
            }
            for k, (own, frame) in enumerate(zip(samples, frames, strict=True))
        ],
        'sample_data': [
            *_images(frames, scene, samples),
            *_scans(frames, scene, samples, scans),
        ],
        'instance': instances,
        'sample_annotation': annotations,
    }


def _sensors(scans: Mapping[str, str]) -> Rows:
    found = [(CHANNEL, 'camera'), *([(LIDAR_CHANNEL, 'lidar')] if scans else [])]
    return [
        {'token': token('sensor', channel), 'channel': channel, 'modality': modality}
        for channel, modality in found
    ]


def _lidar_mounting(scene: str, scans: Mapping[str, str]) -> Rows:
    """Return the LiDAR's pose: scans are in the level frame, which is the ego's."""
    if not scans:
        return []
    own, sensor = token(scene, 'lidar mounting'), token('sensor', LIDAR_CHANNEL)
    placed = _placed(np.eye(4))
    return [{'token': own, 'sensor_token': sensor, **placed, 'camera_intrinsic': []}]


def _images(frames: Sequence[LabelledFrame], scene: str, samples: list[str]) -> Rows:
    tokens = [token(scene, 'data', frame.name) for frame in frames]
    return [
        {
            **_data(frame, scene, tokens, samples, k),
            'calibrated_sensor_token': token(scene, 'calibration', frame.name),
            'fileformat': 'png',
            'height': frame.camera.height,
            'width': frame.camera.width,
            'filename': f'{IMAGES}/{frame.name}.png',
        }
        for k, frame in enumerate(frames)
    ]


def _scans(
    frames: Sequence[LabelledFrame], scene: str, samples: list[str], scans: Mapping[str, str]
) -> Rows:
    there = [k for k, frame in enumerate(frames) if frame.name in scans]
    kept = [frames[k] for k in there]
    tokens = [token(scene, 'scan', frame.name) for frame in kept]
    return [
        {
            **_data(frame, scene, tokens, [samples[i] for i in there], k),
            'calibrated_sensor_token': token(scene, 'lidar mounting'),
            'fileformat': 'pcd',
            'height': 0,
            'width': 0,
            'filename': scans[frame.name],
        }
        for k, frame in enumerate(kept)
    ]


def _data(
    frame: LabelledFrame, scene: str, tokens: Sequence[str], samples: Sequence[str], k: int
) -> dict[str, Any]:
    """Return what images and scans have in common in ``sample_data``."""
    return {
        'token': tokens[k],
        'sample_token': samples[k],
        'ego_pose_token': token(scene, 'ego_pose', frame.name),
        'timestamp': frame.stamp // 1000,
        'is_key_frame': True,
        **_neighbours(tokens, k),
    }


def _annotations(frames: Sequence[LabelledFrame], scene: str, samples: list[str]) -> Rows:
    rows: Rows = []
    last: dict[str, dict[str, Any]] = {}
    for frame, sample in zip(frames, samples, strict=True):
        for k, label in enumerate(frame.accepted):
            instance = token(scene, 'instance', label.id or f'{frame.name}/{k}')
            row = _annotation(frame, label, instance, sample)
            before = last.get(instance)
            if before is not None:
                row['prev'], before['next'] = before['token'], row['token']
            last[instance] = row
            rows.append(row)
    return rows


def _annotation(
    frame: LabelledFrame, label: ShapeLabel, instance: str, sample: str
) -> dict[str, Any]:
    assert label.box3d is not None
    length, width, height = label.box3d.size
    points = label.measures.get('log_points')
    return {
        'token': token(instance, sample),
        'sample_token': sample,
        'instance_token': instance,
        'visibility_token': _visibility(label),
        'attribute_tokens': [],
        **_placed(_world(frame) @ label.box3d.parent_T_box),
        'size': [width, length, height],
        'prev': '',
        'next': '',
        'num_lidar_pts': 0 if points is None else round(math.exp(points)),
        'num_radar_pts': 0,
        'score': label.confidence,
        'class_id': label.class_id,
    }


def _visibility(label: ShapeLabel) -> str:
    """Return the token of a label's level of visibility, '' where it is not known."""
    visible = visibility_of(label)
    return '' if visible is None else str(1 + sum(visible >= level for level in _VISIBLE))


def _instances(annotations: Rows, scene: str, taxonomy: Taxonomy) -> Rows:
    by_token: dict[str, dict[str, Any]] = {}
    for row in annotations:
        instance = by_token.setdefault(
            row['instance_token'],
            {
                'token': row['instance_token'],
                'category_token': token('category', taxonomy.names[row['class_id']]),
                'nbr_annotations': 0,
                'first_annotation_token': row['token'],
            },
        )
        instance['nbr_annotations'] += 1
        instance['last_annotation_token'] = row['token']
    return list(by_token.values())


def _calibration(frame: LabelledFrame, scene: str) -> dict[str, Any]:
    return {
        'token': token(scene, 'calibration', frame.name),
        'sensor_token': token('sensor', CHANNEL),
        **_placed(invert(np.asarray(frame.camera_T_level))),
        'camera_intrinsic': frame.camera.matrix.tolist(),
    }


def _world(frame: LabelledFrame) -> npt.NDArray[np.floating]:
    return np.eye(4) if frame.world_T_level is None else frame.world_T_level


def _placed(pose: npt.NDArray[np.floating]) -> dict[str, list[float]]:
    x, y, z, w = (float(v) for v in to_quaternion(pose))
    return {'translation': [float(v) for v in pose[:3, 3]], 'rotation': [w, x, y, z]}


def _neighbours(tokens: Sequence[str], k: int) -> dict[str, str]:
    return {
        'prev': tokens[k - 1] if k else '',
        'next': tokens[k + 1] if k + 1 < len(tokens) else '',
    }
