"""kalibr's camchain YAML: cameras by name, each with the pose of the one before it.

https://github.com/ethz-asl/kalibr/wiki/yaml-formats
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from sim_perception.calibration.info import F64, Calibration
from sim_perception.suggestions import unknown

_NAME = re.compile(r'cam\d+')
_LENSES = {'radtan': ('plumb_bob', 4), 'equidistant': ('equidistant', 4), 'none': ('plumb_bob', 0)}
"""kalibr's distortion models that are known here, their names in camera_info, coefficients."""


def is_camchain(values: Mapping[str, Any]) -> bool:
    """Return whether a YAML file's values are a camchain."""
    return any(_NAME.fullmatch(str(key)) for key in values)


def camchain_fields(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return one camera of a camchain as the fields of a camera_info file.

    Of a chain of two pinholes, R and P are those of the rectified pair, as OpenCV makes them.

    Args:
        values: of the file.
        name: ``cam0`` and so on, or its rostopic; '' where there is only one.

    Raises:
        ValueError: for a name that is not there or missing where there are several, or a model
            that is not known.
        KeyError, TypeError: if a field is missing or malformed.
    """
    cameras = {key: v for key, v in values.items() if _NAME.fullmatch(str(key))}
    fields = {key: _fields(key, row) for key, row in cameras.items()}
    chosen = _chosen(cameras, name)
    if len(cameras) == 2 and all(_is_plain(one) for one in fields.values()):
        left, right = fields
        pose = np.array(cameras[right]['T_cn_cnm1'], np.float64)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise ValueError(f'T_cn_cnm1 of {right} must be a 4x4 matrix, has shape {pose.shape}')
        turns = _rectified(fields[left], fields[right], pose)
        for key, (turn, projection) in zip(fields, turns, strict=True):
            fields[key]['rectification_matrix'] = {'data': turn.reshape(-1).tolist()}
            fields[key]['projection_matrix'] = {'data': projection.reshape(-1).tolist()}
    return fields[chosen]


def _chosen(cameras: Mapping[str, Any], name: str) -> str:
    if not name and len(cameras) > 1:
        raise ValueError(
            f'it has the cameras {", ".join(cameras)}; choose one: FILE#{next(iter(cameras))}'
        )
    topics = {str(row.get('rostopic', '')): key for key, row in cameras.items()}
    chosen = topics.get(name, name) or next(iter(cameras))
    if chosen not in cameras:
        raise ValueError(unknown('camera', name, cameras))
    return chosen


def _fields(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    if row['camera_model'] != 'pinhole':
        raise ValueError(
            f'{name} has camera_model {row["camera_model"]!r}, which is not known here; calibrate '
            'with pinhole-radtan, or pinhole-equi for a fisheye'
        )
    model = row.get('distortion_model', 'none')
    if model not in _LENSES:
        raise ValueError(
            f'{name} has distortion_model {model!r}, which is not known here; calibrate with '
            'pinhole-radtan, or pinhole-equi for a fisheye'
        )
    lens, count = _LENSES[model]
    given = [float(v) for v in row.get('distortion_coeffs', ())]
    if len(given) != count:
        raise ValueError(f'{name} has {len(given)} distortion_coeffs, {model} has {count}')
    fx, fy, cx, cy = (float(v) for v in row['intrinsics'])
    width, height = row['resolution']
    return {
        'image_width': width,
        'image_height': height,
        'camera_matrix': {'data': [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]},
        'distortion_model': lens,
        'distortion_coefficients': {'data': given},
    }


def _is_plain(fields: Mapping[str, Any]) -> bool:
    return bool(fields['distortion_model'] == 'plumb_bob')


def _rectified(
    left: Mapping[str, Any], right: Mapping[str, Any], right_T_left: F64
) -> list[tuple[F64, F64]]:
    """Return R and P of both cameras."""
    (k1, d1), (k2, d2) = (_inner(fields) for fields in (left, right))
    size = left['image_width'], left['image_height']
    turn, shift = right_T_left[:3, :3], right_T_left[:3, 3]
    r1, r2, p1, p2, *_ = cv2.stereoRectify(k1, d1, k2, d2, size, turn, shift, alpha=0)
    return [(r1, p1), (r2, p2)]


def _inner(fields: Mapping[str, Any]) -> tuple[F64, F64]:
    """Return the matrix and the coefficients as OpenCV takes them."""
    calibration = Calibration.model_validate(fields)
    matrix = np.asarray(calibration.camera().matrix, np.float64)
    return matrix, np.array(calibration.distortion_coefficients.data or (0.0,) * 4)
