"""Which parameters does drawing have? Those of notebook 10."""

from pydantic import BaseModel, Field


class DrawingSettings(BaseModel):
    """Canvases larger than a patch: notebook 10."""

    canvas: int = Field(5, ge=3, le=64, description="side of the canvas whose seams are measured, in patches")
