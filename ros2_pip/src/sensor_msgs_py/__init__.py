"""Subset of ROS 2's ``sensor_msgs_py`` for machines without a distro."""
