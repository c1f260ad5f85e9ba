"""Which surface a ray or a pixel meets: rasteriser, ray tracing, lenses."""
