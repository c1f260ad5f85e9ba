"""The verb ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Checkpoint


def export(
    checkpoint: Checkpoint,
    out: Annotated[
        Path | None, typer.Option(help='ONNX file; default: model.onnx inside the checkpoint.')
    ] = None,
) -> None:
    """Write a checkpoint's network as ONNX, checked against PyTorch.

    Examples:
        sim-perception export --checkpoint models/depth_segmentation --out depth.onnx
    """
    from training.engine.export import export as run

    run(checkpoint, out)
