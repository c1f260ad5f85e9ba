"""Engines that run checkpoints: pre-process, network, post-process."""
