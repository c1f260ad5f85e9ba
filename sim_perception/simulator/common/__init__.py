"""Values that all rooms of the simulator exchange, noise and worker threads."""
