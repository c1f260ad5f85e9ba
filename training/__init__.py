"""From scenarios and recordings to checkpoints: ``python -m training VERB``."""

import sim_perception  # noqa: F401 - first: sets OpenMP up before torch is loaded
