"""The verb ``simulate``."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from training.commands.complete import scenarios
from training.simulation.layers import ALL_LAYERS


def simulate(
    scenario: Annotated[
        str,
        typer.Option(help='Name of a shipped scenario, or a YAML file.', autocompletion=scenarios),
    ],
    out: Annotated[
        str,
        typer.Option(
            help='The bag; with --count a folder of bags. Also a URL that fsspec knows, such as '
            's3://bucket/scenes.'
        ),
    ],
    seed: Annotated[int, typer.Option(help='Seed of the first bag.')] = 0,
    count: Annotated[int, typer.Option(help='Bags to make, of consecutive seeds.')] = 1,
    workers: Annotated[
        int, typer.Option(help='Processes (threads for a single bag); 0 takes every core.')
    ] = 0,
    ray: Annotated[
        str | None,
        typer.Option(help="Address of a Ray cluster, or 'local'; --out is a URL or shared."),
    ] = None,
    layers: Annotated[str, typer.Option(help=f'Comma-separated; of {ALL_LAYERS}.')] = ALL_LAYERS,
    image_format: Annotated[str, typer.Option(help='Camera images: raw or jpeg.')] = 'raw',
    jpeg_quality: Annotated[int, typer.Option(min=1, max=100)] = 95,
    frame_rate: Annotated[
        float | None,
        typer.Option(help='Camera frames per second; fewer than the scenario has thin it out.'),
    ] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds, for the scenario's.")] = None,
    storage: Annotated[str, typer.Option(help='mcap or sqlite3.')] = 'mcap',
    changes: Annotated[
        list[str] | None,
        typer.Option(
            '--set',
            help='Change a field of the scenario, e.g. weather.fog_density=0.03 or '
            'camera.pitch_deg=[-2,2]; may be given repeatedly.',
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help='Remove what is at the place.')] = False,
) -> None:
    """Simulate scenarios into bags: images, clouds, transforms and the truth about them.

    Examples:
        sim-perception simulate --scenario demo --out drive
        sim-perception simulate --scenario training --seed 0 --count 100 --out data/train
        sim-perception simulate --scenario training_city --out foggy \
            --set weather.fog_density=0.03
    """
    from training.simulation.bags import open_bags
    from training.simulation.plans import plan_bags
    from training.simulation.simulate import run

    console = Console(stderr=True)
    bags, folder = open_bags(out)
    plans = plan_bags(
        scenario, seed, folder, count, layers, image_format, jpeg_quality, frame_rate, duration,
        storage, changes or (),
    )  # fmt: skip
    if overwrite:
        for plan in plans:
            bags.remove(plan)
    summary = run(plans, workers or os.cpu_count() or 1, console, ray=ray, bags=bags)
    megabytes = summary.size / 1e6
    console.print(
        f'{len(plans)} bags ({summary.skipped} were there) in {out}: {summary.frames} frames in '
        f'{summary.seconds:.1f} s ({summary.frames / max(summary.seconds, 1e-9):.1f}/s), '
        f'{megabytes:.1f} MB ({megabytes / max(summary.frames, 1):.3f} MB per frame)'
    )
