"""The verb ``evaluate``: one command per thing that is scored."""

from __future__ import annotations

import typer

from training.commands.evaluate.autolabel import autolabel
from training.commands.evaluate.depth_segmentation import depth_segmentation
from training.commands.evaluate.detector3d import detector3d
from training.commands.evaluate.flicker import flicker
from training.commands.evaluate.permanence import permanence
from training.commands.evaluate.resimulation import resimulation
from training.commands.evaluate.shape import shape
from training.commands.evaluate.surface_coordinates import surface_coordinates
from training.commands.evaluate.tracking import tracking
from training.commands.evaluate.translation import translation
from training.commands.evaluate.visual_odometry import visual_odometry
from training.commands.verb import Verb, Verbs

app = typer.Typer(cls=Verbs, no_args_is_help=True)
for command in (
    depth_segmentation,
    flicker,
    translation,
    visual_odometry,
    tracking,
    permanence,
    detector3d,
    surface_coordinates,
    autolabel,
    resimulation,
    shape,
):
    app.command(command.__name__, cls=Verb)(command)


@app.callback()
def evaluate() -> None:
    """Score a checkpoint, or what is built on it, on simulated or real data."""
