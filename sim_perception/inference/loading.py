"""Reading what an engine runs: a network and how its inputs are made."""

from __future__ import annotations

from pathlib import Path

from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from sim_perception.taxonomy import Taxonomy


def load_network(
    folder: Path | str, network: str, taxonomy: Taxonomy | None = None
) -> tuple[Checkpoint, PreprocessConfig]:
    """Return a checkpoint folder's contents and its pre-processing.

    Args:
        folder: the checkpoint.
        network: name of the network that it must hold.
        taxonomy: the class list the caller needs, or None for any.

    Raises:
        CheckpointError: if the checkpoint is damaged or of another kind.
    """
    loaded = load_checkpoint(folder, network=network, taxonomy=taxonomy)
    try:
        return loaded, PreprocessConfig.from_dict(loaded.preprocess)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f'{folder}: bad preprocess settings: {error}') from error
