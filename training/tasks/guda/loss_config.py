"""Weights of the losses of geometric sim-to-real adaptation."""

from __future__ import annotations

from pydantic import Field

from training.tasks.depth_segmentation.task import LossConfig


class AdaptationLossConfig(LossConfig):
    """Weights of the losses besides the supervised ones; 0 switches a loss off."""

    uncertainty: float = Field(default=0.1, ge=0)
    """Laplace likelihood of the depth error, if the model has ``uncertainty``."""
    normals: float = Field(default=0.1, ge=0)
    """1 - cos between true and predicted normals of simulated images."""
    partial_depth: float = Field(default=0.0, ge=0)
    """View synthesis of simulated clips with the predicted depth and the true motion."""
    partial_motion: float = Field(default=0.0, ge=0)
    """The same with the true depth and the predicted motion."""
    motion: float = Field(default=1.0, ge=0)
    """Error of the predicted motion of simulated clips against the true one."""
    match: float = Field(default=0.1, ge=0)
    """Likelihood of the matches behind the motion of simulated clips, given the true motion."""
    photometric: float = Field(default=1.0, ge=0)
    """View synthesis of real clips with predicted depth and motion."""
    hint: float = Field(default=1.0, ge=0)
    """Depth of real stereo clips against proposals of classical matching that fit better."""
    smoothness: float = Field(default=1e-3, ge=0)
    """Edge-aware smoothness of the inverse depth of real clips."""
    velocity: float = Field(default=0.1, ge=0)
    """Predicted against measured distance of real clips: what makes their scale metric."""
    pseudo_label: float = Field(default=0.0, ge=0)
    """Cross-entropy on real images against a teacher's labels."""
    teacher_momentum: float = Field(default=0.999, gt=0, le=1)
    """The teacher's inertia per step; 1 is a teacher that stays as it starts."""
    teacher: str | None = None
    """Checkpoint folder of another teacher, such as a larger network; it stays as it is. None: the
    network itself as it starts, which follows by ``teacher_momentum``."""
    teacher_threshold: float = Field(default=0.9, ge=0, le=1)
    """Smallest probability of a pseudo-label of the surest class; others need less."""
    mix: float = Field(default=0.5, ge=0, le=1)
    """Share of steps whose real images get simulated objects pasted in."""
    ssim: float = Field(default=0.85, ge=0, le=1)
    """Weight of structural similarity against absolute difference in view synthesis."""
    synthesis_stride: int = Field(default=2, ge=1)
    """Views are synthesised in images smaller by this factor: four times cheaper at 2."""
