"""Which parameters make coarse masks, kinds of mask and sketches? Those of notebooks 02 and 03."""

from typing import Literal

from pydantic import BaseModel, Field


class MasksSettings(BaseModel):
    """Coarse masks, kinds of mask and sketches: notebooks 02 and 03."""

    coarse_open: int = Field(5, ge=1, le=101, description="px, opening kernel (section 2.3)")
    coarse_close: int = Field(10, ge=1, le=101, description="px, closing kernel (section 2.3)")
    coarse_shifted: bool = Field(False, description="True: the literal form of an even kernel, which moves the mask (R7)")
    clusters: int = Field(4, ge=2, le=50, description="K of K-means, chosen by eye in the paper (R11)")
    cluster_features: Literal["descriptors", "pixels"] = Field(
        "descriptors", description="of a mask: 27 descriptors of its shapes (R27), or pixels, where its tissue lies")
    cluster_seeds: int = Field(10, ge=2, le=100, description="seeds compared to see how stable the clusters are")
    sketches: str = Field("", description="folder of drawings (pictures, Labelme, GeoJSON); empty: simulated ones (R12)")
    sketch_tone: Literal["auto", "dark", "light"] = Field("auto", description="which tone of a drawn picture is tissue")
    sketches_simulated: int = Field(100, ge=1, le=100_000, description="sketches to simulate (section 2.4: about 100)")
    sketch_variations: int = Field(9, ge=0, le=1000, description="augmented copies of each sketch (R13)")
