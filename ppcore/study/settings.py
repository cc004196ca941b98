"""Which parameters do all notebooks share?"""

from typing import Literal

from pydantic import BaseModel, Field

from ppcore.study.runs import COHORT


class StudySettings(BaseModel):
    """Every notebook."""

    profile: Literal["smoke", "demo", "paper"] = Field("demo", description="size of the run")
    cohort: str = Field("PHANTOM", pattern=COHORT, description="name of the cohort")
    seed: int = Field(1, ge=0, lt=2**31, description="every random draw comes from it")
    threads: int = Field(8, ge=1, le=256, description="CPU threads of a notebook; fixed, so that sums round alike")
