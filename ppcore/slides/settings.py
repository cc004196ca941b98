"""Which parameters turn slides into patches? Those of notebook 01."""

from typing import Literal

from pydantic import BaseModel, Field, model_validator


class SlidesSettings(BaseModel):
    """Slides and patches: notebook 01."""

    slides: str = Field("", description="folder of slides or fields; empty for an embedded cohort")
    stain: Literal["he", "ihc"] = Field("he", description="he or ihc; decides the air threshold")
    labels: Literal["tissue", "stain", "own"] = Field(
        "tissue", description="classes of fine masks: tissue, air; stain: nuclei too, DAB in ihc; own: brought")
    air_threshold: int | None = Field(None, ge=1, le=254,
                                      description="gray level 0-255; what is lighter is air; empty: 204 he, 235 ihc (R3)")
    mpp: float = Field(2.0, ge=0.1, le=20.0, description="um per px that patches are cut at (R2); what states none is read as it is")
    patch_height: int = Field(512, ge=32, le=4096, description="px (section 2.1)")
    patch_width: int = Field(1024, ge=32, le=4096, description="px (section 2.1)")
    max_air: float = Field(0.85, ge=0.0, le=1.0, description="share; a patch with more air is dropped (R4)")
    max_ink: float = Field(0.25, ge=0.0, le=1.0, description="share; a patch with more pen ink is dropped; 1: none is")
    patches_per_slide: int = Field(0, ge=0, le=100_000, description="at most, spread over the slide; 0: all (R2)")
    test_fraction: float = Field(0.15, gt=0.0, lt=1.0, description="share of the patches for the test, by subject (R5)")
    test_patches: int = Field(0, ge=0, description="wanted for the test; 0: test_fraction of all (Table 1, R5)")
    train_patches: int = Field(0, ge=0, description="wanted for training, beside test_patches; 0: all others")
    split: Literal["auto", "subject", "region"] = Field(
        "auto", description="auto: by subject, a single slide by region; region: forced, for one subject")
    strict: bool = Field(False, description="True: stop at the first unreadable file; False: list it and go on")
    phantom_slides: int = Field(50, ge=2, le=1000, description="slides of the embedded cohort")
    phantom_width_um: float = Field(8192.0, ge=128, le=40000, description="um, width of an embedded slide")
    phantom_height_um: float = Field(6144.0, ge=128, le=40000, description="um, height of an embedded slide")
    phantom_mpp: float = Field(1.0, ge=0.1, le=8.0, description="um per px of an embedded slide's level 0")

    @model_validator(mode="after")
    def _counts_go_together(self) -> "SlidesSettings":
        if self.train_patches and not self.test_patches:
            raise ValueError(f"train_patches={self.train_patches} without test_patches: give both, or test_patches alone")
        return self
