"""Cameras, rigid transforms, boxes and scans, in numpy and torch."""
