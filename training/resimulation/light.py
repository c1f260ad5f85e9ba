"""Brightness: what was lit in the images becomes albedo that the simulator's light lights again.

Render and compare with the simulator itself: a few views are rendered, and every texture and
paint is multiplied by how much brighter the recording is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.simulator.drive import Drive, write_drive
from sim_perception.simulator.mipmaps import LINEAR
from sim_perception.simulator.scenario import Scenario, load_scenario
from sim_perception.simulator.simulation import Simulation
from training.resimulation.ground import to_srgb

F64 = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

_BRIGHTEST, _DARKEST = 0.9, 0.01
_STEP = (0.3, 3.0)
"""Least and greatest change of an albedo in one round."""


def radiance(image: Image) -> npt.NDArray[np.float32]:
    """Return the exposed light that the simulator's camera turns into an image.

    The inverse of its filmic curve (Narkowicz, 2016): y = a (2.51 a + .03) / (a (2.43 a + .59)
    + .14), solved for a.
    """
    y = np.minimum(LINEAR.astype(np.float64), 0.985)
    a, b, c = 2.51 - 2.43 * y, 0.03 - 0.59 * y, -0.14 * y
    table = (-b + np.sqrt(b * b - 4 * a * c)) / (2 * a)
    return table.astype(np.float32)[image]


def neutral(path: Path, seconds: float) -> Scenario:
    """Return a scenario's camera without noise, blur and vignetting."""
    plain = dict.fromkeys(('shot_noise', 'read_noise', 'blur_px', 'vignetting'), 0.0)
    return load_scenario(
        path, duration_s=max(seconds, 0.1), camera={**plain, 'jpeg_quality': 0, 'white_balance': 0}
    )


def match_brightness(
    drive: Drive,
    folder: Path,
    scenario: Path,
    views: Sequence[tuple[float, Image]],
    rounds: int = 2,
) -> Drive:
    """Return a drive whose albedos make renderings as bright as the recording.

    Args:
        drive: with brightness as in the images.
        folder: where it is written.
        scenario: the YAML that names the folder.
        views: seconds and (H, W, 3) images to compare with.
        rounds: of rendering and correcting.
    """
    for _ in range(rounds):
        write_drive(drive, folder)
        simulation = Simulation(neutral(scenario, max(t for t, _ in views) + 0.1), threads=1)
        ratios = [_ratios(simulation, drive, seconds, image) for seconds, image in views]
        drive = _corrected(drive, ratios)
    return drive


def _ratios(
    simulation: Simulation, drive: Drive, seconds: float, image: Image
) -> dict[tuple[str, int], F64]:
    """Return the (N, 3) logarithms of recorded over rendered light, by texture and object."""
    sample = simulation.camera_frame(seconds, frozenset({'rgb', 'instance', 'semantic'}))
    assert sample.rgb is not None
    assert sample.instance is not None
    assert sample.semantic is not None
    size = (sample.rgb.shape[1], sample.rgb.shape[0])
    wanted = radiance(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    ratio = np.log(wanted + _DARKEST) - np.log(radiance(sample.rgb) + _DARKEST)
    found: dict[tuple[str, int], F64] = {}
    for row in range(len(drive.objects)):
        pixels = sample.instance == row + 1
        if pixels.sum() >= 30:
            found['object', row] = ratio[pixels].astype(np.float64)
    for semantic in np.unique(sample.semantic):
        pixels = (sample.semantic == semantic) & (sample.instance == 0)
        if pixels.sum() >= 50:
            found['class', int(semantic)] = ratio[pixels].astype(np.float64)
    return found


def _corrected(drive: Drive, ratios: list[dict[tuple[str, int], F64]]) -> Drive:
    """Return the drive with albedos multiplied by the median ratios."""

    def gain(*key: str | int) -> F64:
        rows = [r[key] for r in ratios if key in r]  # type: ignore[index]
        if not rows:
            return np.ones(3)
        return np.clip(np.exp(np.median(np.concatenate(rows), axis=0)), *_STEP)

    objects = []
    for row, item in enumerate(drive.objects):
        color = np.clip(np.array(item.color) * gain('object', row), _DARKEST, _BRIGHTEST)
        objects.append(replace(item, color=tuple(color.tolist())))
    textures = drive.textures.copy()
    for part in drive.parts:
        if part.texture < 0:
            continue
        kinds, counts = np.unique(part.mesh.semantic, return_counts=True)
        # One gain per texture: of its classes, by how much each covers.
        log = sum(
            count * np.log(gain('class', int(kind)))
            for kind, count in zip(kinds, counts, strict=True)
        )
        light = LINEAR[textures[part.texture]] * np.exp(log / counts.sum())
        textures[part.texture] = to_srgb(np.clip(light, 0.0, _BRIGHTEST))
    return replace(drive, objects=tuple(objects), textures=textures)
