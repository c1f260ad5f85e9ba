"""The permanence network's boxes against the truth, seen and hidden."""
