"""``python -m training.examples.analysis_by_synthesis``: a car out of one photograph.

Random pose, size, shape and paint are rendered and pulled towards the image by the difference
alone (``synthesis_fit``). The picture shows the photograph and the guess on its way. On a
simulated car, whose truth is known, the result is scored as well:

    python -m training.examples.analysis_by_synthesis --out synthesis.png

On a car of a recording, with a place in the image where to look:

    python -m training.examples.analysis_by_synthesis --bag DRIVE --frame 10 \
        --box 560,170,720,300 --out real.png
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import typer
from rich.console import Console

from sim_perception.bags import topics as t_
from sim_perception.bags.errors import TransformError
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import choose_camera
from sim_perception.geometry.boxes import iou_upright
from sim_perception.geometry.transforms import BODY_T_OPTICAL, invert, make_transform
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.models.shape import ShapePca
from sim_perception.simulator.catalogue import LINEAR
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera
from sim_perception.visualization import caption, write_picture
from training.commands.script import run_script
from training.examples.synthesis_fit import Descent, Synthesis, Target, descend
from training.resimulation.ground import to_srgb

Array = npt.NDArray[np.floating]
Image = npt.NDArray[np.uint8]

_AROUND = 0.18
_SHOWN = 200


def target_of(image: Image, camera: Camera, camera_T_level: Array, box: Array) -> Target:
    """Return the part of an image around a (4,) box.

    Raises:
        ValueError: for a box that is not in the image.
    """
    pad = _AROUND * (box[2:] - box[:2]).max()
    limit = np.array([camera.width, camera.height])
    low = np.clip(np.floor(box[:2] - pad), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(box[2:] + pad), 0, limit).astype(int)
    if (high - low < 8).any():
        raise ValueError(f'box {box.tolist()} has too little of the {limit.tolist()} image')
    part = LINEAR[image[low[1] : high[1], low[0] : high[0]]]
    # Cells of a raster over a box tile it; pixel centres lie on integers.
    x1, y1, x2, y2 = (float(v) for v in (*(low - 0.5), *(high - 0.5)))
    return Target(part.astype(np.float32), (x1, y1, x2, y2), camera, camera_T_level)


def simulated_target(scenario: str, seed: int, seconds: float) -> tuple[Target, Box3D]:
    """Return the nearest car that is wholly seen in a simulated frame, and its true box.

    The box is in the camera's level frame, see ``Target``.

    Raises:
        ValueError: if there is no such car.
    """
    simulation = Simulation(load_scenario(scenario, seed=seed), threads=1)
    sample = simulation.camera_frame(seconds, frozenset({'rgb'}))
    truth = simulation.object_truth(simulation.state(seconds), sample)
    assert sample.rgb is not None
    camera = simulation.camera
    boxes = truth.box_amodal.astype(float)
    wide = boxes[:, 2] - boxes[:, 0]
    inside = (boxes[:, 0] > 5) & (boxes[:, 2] < camera.width - 6)
    cars = np.flatnonzero(
        (truth.class_id == load_taxonomy().id_of('car')) & inside & (truth.visibility > 0.9)
    )
    if not len(cars):
        raise ValueError(f'{scenario} {seed} shows no whole car at {seconds} s; try another seed')
    row = int(cars[wide[cars].argmax()])
    level_T_camera = simulation.base_T_camera
    level_T_world = invert(simulation.state(seconds).world_T_base)
    length, width, height = (float(v) for v in truth.size[row])
    box = Box3D(level_T_world @ truth.world_T_object[row], (length, width, height))
    return target_of(sample.rgb, camera, invert(level_T_camera), boxes[row]), box


def recorded_target(bag: Path, frame: int, box: Array) -> Target:
    """Return a part of a recording's image.

    Raises:
        BagError: if there is no such bag or frame.
        ValueError: for a camera that is not calibrated.
    """
    with BagReader(bag) as reader:
        camera = choose_camera(reader)
        shot = reader.frame(camera.image, frame, camera.info)
        if shot.camera is None:
            raise ValueError(f'{bag} has no calibration: depth and size cannot be told')
        try:
            pose = reader.transforms.lookup(shot.frame_id, t_.BASE_FRAME, shot.stamp)
        except TransformError:
            pose = invert(BODY_T_OPTICAL)
    return target_of(shot.image, shot.camera, np.asarray(pose, np.float64), box)


def found_box(synthesis: Synthesis, guess: torch.Tensor) -> Box3D:
    """Return a (P,) guess as a box of the level frame."""
    shapes = synthesis.shapes(guess[None])
    level_T_camera = invert(synthesis.target.camera_T_level)
    place = make_transform(shapes.rotation[0].double().numpy(), shapes.translation[0].numpy())
    length, width, height = (float(v) for v in shapes.size[0])
    return Box3D(level_T_camera @ place, (length, width, height))


def strip(synthesis: Synthesis, course: Descent, shown: int = 7) -> Image:
    """Return the photograph and the guess at several steps, side by side in two rows."""
    count = len(course.guesses)
    steps = np.unique(np.round((count - 1) * np.linspace(0, 1, shown) ** 1.5).astype(int))
    target = synthesis.target
    height = round(_SHOWN * target.image.shape[0] / target.image.shape[1])

    def picture(linear: npt.NDArray[np.floating], text: str) -> Image:
        colors = to_srgb(np.clip(linear, 0, 1))
        return caption(cv2.resize(colors, (_SHOWN, height), interpolation=cv2.INTER_AREA), text)

    tiles = [picture(target.image, 'image')]
    for step in steps.tolist():
        with torch.no_grad():
            made = synthesis.draw(course.guesses[step][None], 100)[0].permute(1, 2, 0).numpy()
        tiles.append(picture(made, 'random' if step == 0 else f'step {step}'))
    half = (len(tiles) + 1) // 2
    while len(tiles) < 2 * half:
        tiles.append(np.full_like(tiles[0], 255))
    return np.vstack([np.hstack(tiles[:half]), np.hstack(tiles[half:])])


def scores(found: Box3D, truth: Box3D) -> dict[str, Any]:
    """Return how far a found box is from the true one."""
    plan, space = iou_upright(found, truth)
    apart = found.parent_T_box[:3, 3] - truth.parent_T_box[:3, 3]
    headings = [float(np.arctan2(b.parent_T_box[1, 0], b.parent_T_box[0, 0]))
                for b in (found, truth)]  # fmt: skip
    off = (headings[0] - headings[1] + np.pi) % (2 * np.pi) - np.pi
    return {
        'plan_iou': round(plan, 3),
        'iou': round(space, 3),
        'metres_off': round(float(np.linalg.norm(apart)), 2),
        'degrees_off': round(float(np.rad2deg(off)), 1),
        'size_found': [round(v, 2) for v in found.size],
        'size_true': [round(v, 2) for v in truth.size],
    }


def main(
    out: Annotated[Path, typer.Option(help='Picture to write.')],
    scenario: Annotated[str, typer.Option(help='Of the simulated car.')] = 'clean',
    seed: Annotated[int, typer.Option(help='Of the scenario.')] = 0,
    seconds: Annotated[float, typer.Option(help='Time in the scenario.')] = 1.0,
    bag: Annotated[Path | None, typer.Option(help='Take a car of this recording.')] = None,
    frame: Annotated[int, typer.Option(help='Number of its image.')] = 0,
    box: Annotated[str, typer.Option(help='Where to look: x1,y1,x2,y2 pixels.')] = '',
    shape: Annotated[Path, typer.Option(help='Checkpoint of the shape space.')] = Path(
        'models/shape_car'
    ),
    guesses: Annotated[int, typer.Option(help='Seed of the random guesses.')] = 0,
) -> None:
    """Find a car's pose, size, shape and paint by the image difference alone."""
    model = load_checkpoint(shape, network='shape_pca').net
    assert isinstance(model, ShapePca)
    truth = None
    if bag is None:
        target, truth = simulated_target(scenario, seed, seconds)
    else:
        edges = np.array([float(v) for v in box.split(',') if v.strip()])
        if len(edges) != 4:
            raise typer.BadParameter('--bag needs --box x1,y1,x2,y2')
        target = recorded_target(bag, frame, edges)
    synthesis = Synthesis(model, target)
    course = descend(synthesis, guesses)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_picture(out, strip(synthesis, course))
    found = found_box(synthesis, course.guesses[-1])
    place = [round(float(v), 2) for v in found.parent_T_box[:3, 3]]
    console = Console()
    console.print(f'{out}: {len(course.guesses)} steps; centre {place}, size '
                  f'{[round(v, 2) for v in found.size]}')  # fmt: skip
    if truth is not None:
        console.print(scores(found, truth))


if __name__ == '__main__':
    torch.set_num_threads(1)
    run_script(main)
