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

from sim_perception.simulator.catalogue import LINEAR
from sim_perception.simulator.drive import Drive, write_drive
from sim_perception.simulator.scenario import Scenario, load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.taxonomy import load_taxonomy
from training.resimulation.appearance import Appearance, SurfacePixels, fit_appearance
from training.resimulation.bodies import PAINTED
from training.resimulation.ground import to_srgb

Array = npt.NDArray[np.floating]
Image = npt.NDArray[np.uint8]

_BRIGHTEST, _DARKEST = 0.9, 0.01
_LEAST_PIXELS, _MOST_PIXELS = 40, 600
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
        simulation = _probe(drive, folder, scenario, views)
        ratios = [_ratios(simulation, drive, seconds, image) for seconds, image in views]
        drive = _corrected(drive, ratios)
    return drive


def paint_objects(
    drive: Drive, folder: Path, scenario: Path, views: Sequence[tuple[float, Image]]
) -> tuple[Drive, Appearance | None]:
    """Return a drive whose objects have the images' colours, and the light that they show.

    Args: as of ``match_brightness``.
    """
    simulation = _probe(drive, folder, scenario, views)
    normals, colors, owners = [], [], []
    sky = load_taxonomy().id_of('sky')
    for seconds, image in views:
        sample = simulation.camera_frame(seconds, frozenset({'normals', 'instance', 'semantic'}))
        assert sample.normals is not None
        assert sample.instance is not None
        size = (sample.instance.shape[1], sample.instance.shape[0])
        wanted = radiance(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        pixels = (sample.instance > 0) & (sample.semantic != sky)
        pixels &= image_edges_apart(sample.instance)
        turn = (simulation.state(seconds).world_T_base @ simulation.base_T_camera)[:3, :3]
        normals.append(sample.normals[pixels].astype(np.float64) @ turn.T)
        colors.append(wanted[pixels].astype(np.float64))
        owners.append(sample.instance[pixels].astype(np.int64) - 1)
    found = SurfacePixels(np.concatenate(normals), np.concatenate(colors), np.concatenate(owners))
    found = _thinned(found)
    if not len(found.object):
        return drive, None
    look = fit_appearance(found, len(drive.objects))
    objects = []
    for item, albedo in zip(drive.objects, look.albedo, strict=True):
        color = np.clip(np.where(np.isfinite(albedo), albedo, item.color), _DARKEST, _BRIGHTEST)
        objects.append(replace(item, color=tuple(color.tolist())))
    return replace(drive, objects=tuple(objects)), look


def weather_of(look: Appearance) -> dict[str, float]:
    """Return scenario fields that give about the light of an appearance.

    The cloud cover follows from the ambient share by the sky's own formulas: the sun's radiance
    is 2.6 times the clear share to the power of .7, the sky's about .6.
    """
    sun = look.sun
    elevation = float(np.rad2deg(np.arcsin(np.clip(sun[2], -1, 1))))
    direct = 0.6 * (1 - look.ambient) / max(look.ambient, 0.05) / 2.6
    clouds = 1 - float(np.clip(direct, 0, 1)) ** (1 / 0.7)
    return {
        'sun_elevation_deg': round(float(np.clip(elevation, 15, 70)), 1),
        'sun_azimuth_deg': round(float(np.rad2deg(np.arctan2(sun[1], sun[0]))), 1),
        'cloud_cover': round(float(np.clip(clouds, 0.2, 0.95)), 2),
    }


def image_edges_apart(instance: npt.NDArray[np.uint16]) -> npt.NDArray[np.bool_]:
    """Return the (H, W) pixels that do not touch another object's: outlines never fit."""
    values = instance.astype(np.float32)
    box = np.ones((5, 5), np.uint8)
    return np.asarray(cv2.dilate(values, box) == cv2.erode(values, box), np.bool_)


def _thinned(pixels: SurfacePixels) -> SurfacePixels:
    """Return at most so many pixels of each object, spread evenly."""
    rows = [np.flatnonzero(pixels.object == k) for k in np.unique(pixels.object)]
    rows = [r[:: max(1, len(r) // _MOST_PIXELS)] for r in rows if len(r) >= _LEAST_PIXELS]
    kept = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    return SurfacePixels(pixels.normals[kept], pixels.color[kept], pixels.object[kept])


def _probe(
    drive: Drive, folder: Path, scenario: Path, views: Sequence[tuple[float, Image]]
) -> Simulation:
    """Return a simulation of a drive in which paint can be told from the rest."""
    write_drive(marked(drive), folder)
    return Simulation(neutral(scenario, max(t for t, _ in views) + 0.1), threads=1)


def marked(drive: Drive) -> Drive:
    """Return a drive whose objects have the class 'sky' wherever their colour is not their own.

    Their paint can then be told from glass and tyres in a rendering.
    """
    sky = load_taxonomy().id_of('sky')
    objects = []
    for item in drive.objects:
        own = np.isin(item.mesh.material, list(PAINTED))
        semantic = np.where(own, item.mesh.semantic, sky).astype(np.uint8)
        objects.append(replace(item, mesh=replace(item.mesh, semantic=semantic)))
    return replace(drive, objects=tuple(objects))


def _ratios(
    simulation: Simulation, drive: Drive, seconds: float, image: Image
) -> dict[tuple[str, int], Array]:
    """Return the (N, 3) logarithms of recorded over rendered light, by texture and object."""
    sample = simulation.camera_frame(seconds, frozenset({'rgb', 'instance', 'semantic'}))
    assert sample.rgb is not None
    assert sample.instance is not None
    assert sample.semantic is not None
    size = (sample.rgb.shape[1], sample.rgb.shape[0])
    wanted = radiance(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    ratio = np.log(wanted + _DARKEST) - np.log(radiance(sample.rgb) + _DARKEST)
    sky = load_taxonomy().id_of('sky')
    found: dict[tuple[str, int], Array] = {}
    for row in range(len(drive.objects)):
        pixels = (sample.instance == row + 1) & (sample.semantic != sky)
        if pixels.sum() >= _LEAST_PIXELS:
            found['object', row] = ratio[pixels].astype(np.float64)
    for semantic in np.unique(sample.semantic):
        pixels = (sample.semantic == semantic) & (sample.instance == 0)
        if pixels.sum() >= _LEAST_PIXELS:
            found['class', int(semantic)] = ratio[pixels].astype(np.float64)
    return found


def _corrected(drive: Drive, ratios: list[dict[tuple[str, int], Array]]) -> Drive:
    """Return the drive with albedos multiplied by the median ratios."""

    def gain(*key: str | int) -> Array:
        rows = [r[key] for r in ratios if key in r]
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
