"""Lasting identities for detections: predict, associate, update, spawn, prune."""
