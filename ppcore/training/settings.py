"""Which parameters do all trainings share?"""

from typing import Literal

from pydantic import BaseModel, Field


class TrainingSettings(BaseModel):
    """Every training: notebooks 04 to 06, 11 and 12."""

    batch_size: int = Field(1, ge=1, le=1024, description="patches a step, of all processes together (R19)")
    learning_rate: float = Field(2e-4, gt=0.0, le=1.0, description="Adam's (R19)")
    crop: int = Field(1, ge=1, le=16, description="CycleGAN and pix2pixHD train on windows of 1/crop of a patch's sides")
    precision: Literal["auto", "float32"] = Field("auto", description="auto: bfloat16 where the device has units for it")
    ema: float = Field(0.0, ge=0.0, lt=1.0, description="running mean of the generators' weights, share kept a step; 0: none")
    workers: int = Field(4, ge=0, le=64, description="processes that load data; 0: none beside the notebook's own")
    processes: int = Field(1, ge=1, le=1024, description="processes that train, one a GPU")
    checkpoint_steps: int = Field(2000, ge=1, description="steps between checkpoints")
    sample_steps: int = Field(2000, ge=1, description="steps between sample pictures")
    log_steps: int = Field(100, ge=1, description="steps that a row of log.csv averages")
