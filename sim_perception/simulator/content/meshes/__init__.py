"""Procedural meshes of everything in a street; each module makes one kind of thing."""
