"""The verb ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help='Checkpoint folder.')],
    output: Annotated[
        Path | None, typer.Option(help='ONNX file; default: model.onnx inside the checkpoint.')
    ] = None,
) -> None:
    """Write a checkpoint's network as ONNX, checked against PyTorch."""
    from training.engine.export import export as run

    run(checkpoint, output)
