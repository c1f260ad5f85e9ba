"""Translation of simulated images into the style of real ones (SPIGAN)."""
