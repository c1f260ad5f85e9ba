"""What a frame says of one object: clusters, contours, ground, coordinates, first poses."""
