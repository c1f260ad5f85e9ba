"""Learning-rate factor as a pure function of the step."""

from __future__ import annotations

import math

from training.engine.config import ScheduleConfig


def learning_rate_factor(config: ScheduleConfig, step: int, steps: int) -> float:
    """Return the factor on the base learning rate at a step in [0, steps)."""
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    if config.kind == 'constant':
        return 1.0
    progress = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    progress = min(1.0, progress)
    if config.kind == 'cosine':
        decay = 0.5 * (1 + math.cos(math.pi * progress))
    else:
        decay = (1 - progress) ** config.power
    return config.final_factor + (1 - config.final_factor) * decay
