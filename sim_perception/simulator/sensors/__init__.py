"""The camera and the LiDAR that measure a scene."""
