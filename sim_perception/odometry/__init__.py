"""How a camera moved between two images: correspondences, two-view geometry, metric scale."""
