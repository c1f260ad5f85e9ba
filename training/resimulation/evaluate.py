"""How well a re-simulation re-creates its recording: boxes in the image, depth by LiDAR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.bags.sensors import ANY, Sensors
from sim_perception.geometry.boxes import iou_2d, project_box
from sim_perception.geometry.transforms import invert
from sim_perception.simulator.drive import read_drive
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera
from training.datasets.sample import require_truth
from training.evaluation.report import frames_of, record_of
from training.resimulation.recording import Recording, Shot
from training.resimulation.sightings import Sighting, sightings_of_labels, sightings_of_truth

Array = npt.NDArray[np.floating]

_LEAST_SIDE = 10.0
_LEAST_SEEN = 0.3


def evaluate_resimulation(
    scenario: Path,
    bag: Path,
    *,
    labels: Path | None = None,
    checkpoint: Path = Path('models/depth_segmentation'),
    use_truth: bool = True,
    unsure: bool = False,
    limit: int | None = None,
    sensors: Sensors = ANY,
    device: str = 'auto',
) -> dict[str, Any]:
    """Render a re-simulation at its recording's moments and compare the two.

    Args:
        scenario: the YAML that ``resimulate`` wrote.
        bag: its recording.
        labels: the labels that it was made from; None for the recording's true objects.
        checkpoint, use_truth: see ``Recording``.
        unsure: see ``sightings_of_labels``.
        limit: at most so many frames, spread evenly.
        sensors, device: see ``Recording``.

    Returns:
        ``boxes`` compared; ``iou_median`` and ``iou_above_0.7`` of the labels' 3D boxes in the
        image with the nearest re-simulated object's of its class (none: 0); the same of
        ``cars`` alone; ``depth_abs_rel``, ``depth_median`` (relative error) and
        ``depth_within_10_percent`` of rendered depth against the recording's LiDAR, else its
        true depth, on re-simulated objects, the same of ``cars`` alone, and ``depth_abs_rel_all``
        wherever both know depth.
    """
    simulation = Simulation(load_scenario(scenario), threads=1)
    if simulation.scenario.replay is None:
        raise ValueError(f'{scenario} replays no drive; make one with the verb resimulate')
    ego = read_drive(Path(simulation.scenario.replay.drive)).ego
    known = simulation.base_T_camera, ego.poses
    recording = Recording(bag, checkpoint, use_truth, known, sensors, device)
    found = (
        sightings_of_truth(recording)
        if labels is None
        else sightings_of_labels(recording, labels, unsure)
    )
    numbers = np.arange(len(recording))
    if limit is not None and limit < len(numbers):
        numbers = np.unique(np.linspace(0, len(numbers) - 1, limit).astype(int))
    overlaps: list[tuple[str, float]] = []
    errors: list[tuple[Array, Array, Array]] = []
    for number in frames_of(str(bag))(numbers.tolist(), len(numbers)):
        shot = recording.shot(number)
        here = [item for item in found if item.frame == number]
        seconds = float(recording.seconds[number])
        overlaps += _overlaps(simulation, shot, here, seconds)
        errors.append(_depth_errors(simulation, shot, seconds))
    depth = [np.concatenate(parts) for parts in zip(*errors, strict=True)]
    require_truth(bool(overlaps) or len(depth[2]) > 0, bag)
    scores = _summary(overlaps, *depth)
    return record_of('resimulation', str(bag), scores, scenario=str(scenario), frames=len(numbers))


def _overlaps(
    simulation: Simulation, shot: Shot, items: Sequence[Sighting], seconds: float
) -> list[tuple[str, float]]:
    """Return class and image overlap of every label that the camera sees well."""
    names = load_taxonomy().names
    state = simulation.state(seconds)
    camera_T_world = invert(state.world_T_base @ simulation.base_T_camera)
    made: dict[str, list[Array]] = {}
    for row, (class_id, size) in enumerate(
        zip(simulation.objects.class_id, simulation.objects.size, strict=True)
    ):
        length, width, height = (float(v) for v in size)
        box = Box3D(state.world_T_object[row], (length, width, height))
        seen = _image_box(simulation.camera, camera_T_world, box)
        if seen is not None:
            made.setdefault(names[class_id], []).append(seen)
    found = []
    for item in items:
        wanted = _image_box(
            shot.camera, invert(shot.world_T_camera), Box3D(item.world_T_box, item.size)
        )
        if wanted is None or min(wanted[2:] - wanted[:2]) < _LEAST_SIDE:
            continue
        rivals = made.get(item.category, [])
        best = float(iou_2d(wanted[None], np.array(rivals)).max()) if rivals else 0.0
        found.append((item.category, best))
    return found


def _image_box(camera: Camera, camera_T_world: Array, box: Box3D) -> Array | None:
    """Return the (4,) box in the image, cut at its border; None if too little of it is there."""
    projected = project_box(camera, camera_T_world, box)
    if projected is None:
        return None
    whole = np.array(projected)
    limit = np.array([camera.width, camera.height, camera.width, camera.height]) - 1.0
    inside = np.clip(whole, 0, limit)
    area = (inside[2:] - inside[:2]).prod() / max((whole[2:] - whole[:2]).prod(), 1e-9)
    return inside if area >= _LEAST_SEEN else None


def _depth_errors(
    simulation: Simulation, shot: Shot, seconds: float
) -> tuple[Array, Array, Array]:
    """Return relative errors of rendered depth: on cars, on all objects, everywhere."""
    sample = simulation.camera_frame(seconds, frozenset({'depth', 'instance', 'semantic'}))
    assert sample.depth is not None
    assert sample.instance is not None
    assert sample.semantic is not None
    truth = shot.lidar if np.isfinite(shot.lidar).any() else shot.depth
    if truth.shape != sample.depth.shape:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    both = np.isfinite(truth) & np.isfinite(sample.depth) & (truth > 0) & (truth < 80)
    error = np.abs(sample.depth / np.where(both, truth, 1.0) - 1)
    objects = both & (sample.instance > 0)
    cars = objects & (sample.semantic == load_taxonomy().id_of('car'))
    return error[cars], error[objects], error[both]


def _summary(
    overlaps: list[tuple[str, float]], on_cars: Array, on_objects: Array, everywhere: Array
) -> dict[str, Any]:
    """Return the scores; None where nothing could be compared."""
    cars = [iou for category, iou in overlaps if category == 'car']
    scores: dict[str, Any] = {'boxes': len(overlaps)}
    for prefix, values in (('', [iou for _, iou in overlaps]), ('cars_', cars)):
        found = np.array(values)
        scores[f'{prefix}iou_median'] = _known(np.median, found)
        scores[f'{prefix}iou_above_0.7'] = _known(np.mean, found >= 0.7)
    scores['depth_pixels'] = len(on_objects)
    for prefix, error in (('', on_objects), ('cars_', on_cars)):
        scores[f'{prefix}depth_abs_rel'] = _known(np.mean, error)
        scores[f'{prefix}depth_median'] = _known(np.median, error)
        scores[f'{prefix}depth_within_10_percent'] = _known(np.mean, error < 0.1)
    scores['depth_abs_rel_all'] = _known(np.mean, everywhere)
    return scores


def _known(function: Callable[[Any], Any], values: npt.NDArray[Any]) -> float | None:
    """Return a rounded statistic, or None without values."""
    return round(float(function(values)), 4) if len(values) else None
