"""Which parameters does the evaluation have? Those of notebook 08."""

from pydantic import BaseModel, Field


class MetricsSettings(BaseModel):
    """Evaluation: notebook 08."""

    permutations: int = Field(1000, ge=10, description="permutations for the MMD's p-value (R27)")
    resamples: int = Field(1000, ge=10, description="bootstrap samples of the subjects (R31)")
    diversity_samples: int = Field(8, ge=2, le=64, description="masks per outline (R30)")
    diversity_conditions: int = Field(100, ge=1, description="outlines that diversity is averaged over")
    inception_weights: str = Field("", description="file of the FID weights; empty: from torch hub's folder (R26)")
