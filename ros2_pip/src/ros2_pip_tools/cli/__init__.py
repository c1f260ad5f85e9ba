"""The `ros2` command: one module per group of verbs."""
