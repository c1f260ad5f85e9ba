"""One reader for all files of calibrations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sim_perception.calibration.info import Calibration
from sim_perception.calibration.kalibr import camchain_fields, is_camchain
from sim_perception.files import FileError, mapping, parse_yaml, read_text
from sim_perception.geometry.cameras import resize_camera
from sim_perception.types import Camera

_KINDS = 'a camera_info YAML file of camera_calibration or a camchain of kalibr'
_SAME_SHAPE = 0.01
"""How far proportions of images may differ, as a share."""


def read_calibration(where: str | Path) -> Calibration:
    """Read a camera's calibration.

    Args:
        where: a file; of a camchain with several cameras ``FILE#cam1`` or ``FILE#ROSTOPIC``.

    Raises:
        FileError: if it is none, has no such camera, or a model that is not known.
        OSError: if the file cannot be opened.
    """
    fields, file = calibration_fields(where)
    try:
        return Calibration.model_validate(fields)
    except ValidationError as error:
        problems = '; '.join(
            f'{".".join(map(str, one["loc"])) or "it"}: {one["msg"]}' for one in error.errors()
        )
        raise FileError(f'{file} is not {_KINDS}: {problems}') from error


def calibration_fields(where: str | Path) -> tuple[dict[str, Any], str]:
    """Return the fields of a calibration as camera_info names them, and its file; unchecked.

    Raises:
        FileError: see ``read_calibration``.
        OSError: if the file cannot be opened.
    """
    file, _, name = str(where).partition('#')
    text = read_text(file)
    if text.lstrip().startswith('<'):
        raise FileError(
            f'{file} is XML: a URDF tells where a camera is, not what its lens is; give its '
            f'calibration as {_KINDS}, and the URDF where places are asked for'
        )
    # OpenCV's header, which YAML does not know
    values = mapping(parse_yaml(text.removeprefix('%YAML:1.0'), file), file)
    if not is_camchain(values):
        if name:
            raise FileError(f'{file} is of one camera; leave out #{name}')
        return values, file
    try:
        return camchain_fields(values, name), file
    except KeyError as error:
        raise FileError(f'{file} is no camchain of kalibr: it lacks {error}') from error
    except (ValueError, TypeError) as error:
        raise FileError(f'{file}: {error}') from error


def read_camera(where: str | Path, size: tuple[int, int] | None = None) -> Camera:
    """Read the camera of a calibration.

    Args:
        where: see ``read_calibration``.
        size: width and height of its images; those of a smaller or larger image of the same
            proportions are the calibrated ones, scaled.

    Raises:
        FileError: see ``read_calibration``; or for images of other proportions.
        OSError: if the file cannot be opened.
    """
    calibration = read_calibration(where)
    try:
        camera = calibration.camera()
    except ValueError as error:
        raise FileError(f'{where}: {error}') from error
    if size is None or size == (camera.width, camera.height):
        return camera
    width, height = size
    if abs(width * camera.height / (height * camera.width) - 1) > _SAME_SHAPE:
        raise FileError(
            f'{where} is of images of {camera.width}x{camera.height}, these are {width}x{height}; '
            'calibrate at this size, or give images that are not cut'
        )
    return resize_camera(camera, width, height)
