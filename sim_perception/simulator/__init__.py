"""A street simulator: scenario and seed in, images, scans and every label out."""
