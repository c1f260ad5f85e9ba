"""3D detections against true boxes."""
