"""The verb ``calibrate``."""

from __future__ import annotations

from typing import Annotated

import typer

from training.commands.options import Checkpoint, Device, SecondOpinion


def calibrate(
    checkpoint: Checkpoint,
    data: Annotated[
        list[str],
        typer.Option(help='Data with truth to fit on, as for evaluate; may be given repeatedly.'),
    ],
    second_opinion: SecondOpinion = None,
    limit: Annotated[
        int | None, typer.Option(help='At most so many frames of each.', min=1)
    ] = None,
    device: Device = 'auto',
) -> None:
    """Fit what makes a checkpoint's confidence hold, and store it.

    Of a depth_segmentation network that is two numbers, of a shape space the weights of what
    its labels' confidence rests on, of a permanence network two numbers for each class (two
    others with --second-opinion, which the network has then beside those without).

    Examples:
        sim-perception calibrate --checkpoint runs/mine/best --data sim:target:100-103 --limit 40
    """
    from training.evaluation.calibrate import calibrate_any as run

    run(checkpoint, data, second_opinion=second_opinion, limit=limit, device=device)
