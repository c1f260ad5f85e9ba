"""Learn perception from simulation, run it on robots."""
