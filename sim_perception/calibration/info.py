"""What a calibration says of one camera: the fields of camera_info files."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sim_perception.geometry.lenses import coefficients
from sim_perception.types import Camera

F64 = npt.NDArray[np.float64]

_PINHOLES = ('', 'plumb_bob', 'rational_polynomial', 'pinhole', 'thin_prism', 'radtan', 'none')
_FISHEYES = ('equidistant', 'fisheye', 'kannala_brandt')
"""Names of distortion models; the first are those of ``sensor_msgs/distortion_models``."""
_REMEDY = 'use plumb_bob, rational_polynomial or equidistant, or rectify the images'


def lens_model(model: str, d: npt.ArrayLike) -> tuple[bool, tuple[float, ...]]:
    """Return whether a distortion model is a fisheye's, and its coefficients, filled up.

    Raises:
        ValueError: for a model that is not known, or too many coefficients.
    """
    numbers = np.asarray(d, np.float64)
    fisheye = model in _FISHEYES
    if not fisheye and model not in _PINHOLES:
        raise ValueError(
            f'distortion model {model!r} is not known; {_REMEDY} and set the parameter rectified'
        )
    most = 4 if fisheye else 14
    if len(numbers) > most:
        raise ValueError(
            f'there are {len(numbers)} distortion coefficients; {model or "plumb_bob"} has at '
            f'most {most}'
        )
    filled = coefficients(Camera(1, 1, 1.0, 1.0, 0.0, 0.0, tuple(numbers.tolist()), fisheye))
    return fisheye, tuple(filled.tolist())


class _Matrix(BaseModel):
    """A matrix as camera_calibration writes it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    rows: int = 0
    cols: int = 0
    data: tuple[float, ...]


class Calibration(BaseModel):
    """A camera's calibration as ``camera_calibration`` and ``camera_info_manager`` write it."""

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
        return self

    @property
    def lens(self) -> F64:
        """The distortion coefficients, without zeros at the end."""
        return np.trim_zeros(np.array(self.distortion_coefficients.data, np.float64), 'b')

    def camera(self) -> Camera:
        """Return the camera of the raw images.

        Raises:
            ValueError: for focal lengths that are not positive, or a lens that is not known.
        """
        k = self.camera_matrix.data
        lens = tuple(self.lens.tolist())
        fisheye = bool(lens) and lens_model(self.distortion_model, lens)[0]
        return Camera(self.image_width, self.image_height, k[0], k[4], k[2], k[5], lens, fisheye)

    @property
    def baseline(self) -> float:
        """Metres that the projection says the camera lies right of the first one of a pair."""
        if self.projection_matrix is None or not self.projection_matrix.data[0]:
            return 0.0
        return -self.projection_matrix.data[3] / self.projection_matrix.data[0]
