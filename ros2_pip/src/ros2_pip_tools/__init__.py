"""The `ros2` command and the interface builder for machines without a ROS distro."""
