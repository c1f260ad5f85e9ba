"""Speed against named peers: ``python -m benchmark NAME``."""

import sim_perception  # noqa: F401 - first: sets OpenMP up before torch is loaded
