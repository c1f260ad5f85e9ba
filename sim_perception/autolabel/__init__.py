"""Turns detections and LiDAR into 3D labels with shape: initialise, refine, judge."""
