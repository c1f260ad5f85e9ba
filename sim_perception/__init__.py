"""Learn perception from simulation, run it on robots."""

import os

# OpenMP threads (PyTorch's) wait for each other by spinning. Where simulator, network and others
# share few cores that costs ten times the CPU time and latency of sleeping. OpenMP reads this
# when it is loaded, so it is set before torch is imported; a user's own setting stays.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
