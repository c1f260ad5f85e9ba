"""From image boxes with points or pixels to 3D labels with shape."""
