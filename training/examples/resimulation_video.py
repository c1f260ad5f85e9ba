"""``python -m training.examples.resimulation_video``: a drive and its re-simulations side by side.

Above the recording, below it what ``resimulate`` made of it: as it was, in fog, at dusk:

    python -m training resimulate DRIVE --labels LABELS --out again/drive.yaml
    python -m training.examples.resimulation_video --bag DRIVE --scenario again/drive.yaml \
        --out side_by_side.webp
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
import typer

from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import choose_camera
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.visualization import caption, grid
from training.commands.script import run_script
from training.examples.animation import write_animation

Image = npt.NDArray[np.uint8]

#: Names and changes of the shown re-simulations.
VARIANTS: dict[str, dict[str, Any]] = {
    're-simulated': {},
    'in fog': {'weather.fog_density': 0.04, 'weather.cloud_cover': 0.95},
    'at dusk': {'weather.sun_elevation_deg': -4, 'camera.exposure': 1.5},
}


def simulated_frames(
    scenario: Path, changes: Mapping[str, Any], times: npt.NDArray[np.floating], width: int
) -> list[Image]:
    """Return images of a re-simulation at times, in another size."""
    camera = load_scenario(scenario).camera
    height = max(16, round(camera.height * width / camera.width))
    size = {'camera.width': width, 'camera.height': height}
    simulation = Simulation(load_scenario(scenario, **size, **changes), threads=1)
    frames = []
    for time in times:
        rgb = simulation.camera_frame(float(time), frozenset({'rgb'})).rgb
        assert rgb is not None
        frames.append(rgb)
    return frames


def recorded_frames(bag: Path, times: npt.NDArray[np.floating], width: int) -> list[Image]:
    """Return a recording's images at times since its first, in another size."""
    frames = []
    with BagReader(bag) as reader:
        topic = choose_camera(reader).image
        stamps = reader.stamps(topic)
        for time in times:
            row = int(np.abs((stamps - stamps[0]) * 1e-9 - time).argmin())
            image = reader.frame(topic, row).image
            size = (width, max(16, round(image.shape[0] * width / image.shape[1])))
            frames.append(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)))
    return frames


def main(
    scenario: Annotated[Path, typer.Option(help='What resimulate made.')],
    out: Annotated[Path, typer.Option(help='Animated .webp or .gif to write.')],
    bag: Annotated[Path | None, typer.Option(help='The recording, shown first.')] = None,
    width: Annotated[int, typer.Option(help='Of each image, pixels.', min=32)] = 416,
    step: Annotated[float, typer.Option(help='Seconds between frames.', min=0.02)] = 0.2,
    columns: Annotated[int, typer.Option(help='Images side by side.', min=1)] = 2,
    quality: Annotated[int, typer.Option(help='Of WebP.', min=1, max=100)] = 60,
) -> None:
    """Show a drive and its re-simulations in other weather and light side by side."""
    times = np.arange(0.0, load_scenario(scenario).duration_s - 1e-6, step)
    rows = [] if bag is None else [('recorded', recorded_frames(bag, times, width))]
    for name, changes in VARIANTS.items():
        rows.append((name, simulated_frames(scenario, changes, times, width)))
    frames = [
        grid([caption(images[k], name) for name, images in rows], columns)
        for k in range(len(times))
    ]
    write_animation(frames, out, step, quality)
    typer.echo(f'{out}: {len(frames)} frames, {out.stat().st_size / 1e6:.2f} MB')


if __name__ == '__main__':
    run_script(main)
