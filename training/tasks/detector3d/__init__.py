"""3D boxes from points and an image."""
