"""Object permanence: detection with memory (PermaTrack)."""
