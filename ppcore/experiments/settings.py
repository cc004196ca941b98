"""Which parameters do the experiments have? Those of notebooks 11 to 16."""

from pydantic import BaseModel, Field


class ExperimentsSettings(BaseModel):
    """Experiments: notebooks 11 to 16."""

    utility_pairs: int = Field(256, ge=2, le=100_000, description="synthetic pairs of each chain")
    utility_generator_steps: int = Field(20_000, ge=2, description="steps of each generator of a chain")
    utility_steps: int = Field(5000, ge=1, description="steps of each segmenter's training, the same for all")
    utility_width: int = Field(16, ge=2, le=128, description="first width of the segmenter; 16: .49 M parameters")
    utility_seeds: int = Field(3, ge=1, le=100, description="chains of each n, generators included (R31)")
    utility_test: int = Field(0, ge=0, description="test patches per subject, spread evenly; 0: all")

    variant_seeds: int = Field(3, ge=2, le=100, description="trainings of pix2pix that differ only in their seed")
    variant_changes: bool = Field(True, description="also train with one setting changed at a time")

    ingredient_epochs: int = Field(4, ge=1, description="epochs of each training that leaves an ingredient out")
    ladder_rungs: int = Field(4, ge=1, le=10, description="trainings of 1, 2, 4 ... epochs, each on its own, per model")
    image_ingredient_epochs: int = Field(2, ge=1, description="epochs of a noise image model that lacks an ingredient")
    image_ladder_rungs: int = Field(3, ge=1, le=10, description="noise image models of 1, 2, 4 ... epochs, each on its own")

    benchmark_threads: int = Field(2, ge=1, le=256, description="CPU threads of the benchmark")
    benchmark_height: int = Field(512, ge=32, le=4096, description="px")
    benchmark_width: int = Field(1024, ge=32, le=4096, description="px")
    benchmark_ngf: int = Field(64, ge=2, le=256, description="first width of all networks")
    benchmark_levels: int = Field(8, ge=3, le=10, description="stride-2 levels of the U-Net")
    benchmark_downs: int = Field(4, ge=1, le=6, description="stride-2 convolutions of pix2pixHD's generator")
    benchmark_repeats: int = Field(3, ge=1, description="timed rounds; generation and tiles take twice as many")
    benchmark_slides: int = Field(200, ge=8, le=1000, description="phantom slides cut in one run")
    benchmark_slide_um: float = Field(4096.0, ge=1024, le=40000, description="um, side of the slide that is timed")
