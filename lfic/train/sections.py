"""The sections of a training configuration, each with all its settings and what they do.

A configuration file has them as TOML tables, ``[data]``, ``[network]``, ``[loss]``, ``[schedule]`` and ``[run]``; what
it leaves out is at its default. Paths are relative to the working directory.
"""

import dataclasses
from typing import ClassVar

from .section import Section


@dataclasses.dataclass(frozen=True)
class DataConfig(Section):
    """``[data]``: which faces a step sees, what is done to them, and at which quality and levels they are coded."""

    section: ClassVar[str] = "data"

    # A pack, a folder, tar shards or parquet files, or a list of such: lfic/data/sources.py.
    faces: str | list[str] = "data/train.safetensors"
    batch: int = 16  # faces of a step, over all processes
    workers: int = 0  # processes that make batches ahead; 0: none

    # A source is drawn as often as if it had at least this share of the largest one's faces.
    source_floor: float = 1 / 3
    generic: float = 0.12  # share of crops that are not aligned: any place, scale 0.5 to 1
    grey: float = 0.03  # share of the faces without colour
    jitter: float = 0.0  # pixels, at most, by which an aligned crop is off the template
    jitter_scale: float = 0.0  # by how much, at most, it is too large or too small
    jitter_share: float = 0.5  # share of the aligned crops that jitter
    jpeg: float = 0.0  # share of the faces that were JPEG files before, of quality jpeg_lowest to 95
    jpeg_lowest: int = 40

    # A pack of lfic.data.pack_pictures, cut at random to pictures beside the crops: lfic/train/pictures.py; or empty
    pictures: str = ""
    picture_batch: int = 16  # of a step, over all processes, beside ``batch`` crops
    # In pixels: one height and one width of these for all of a step.
    picture_sides: list[int] = dataclasses.field(default_factory=lambda: list(range(64, 193, 16)))
    picture_grey: float = 0.1  # share of the pictures without colour
    picture_uncovered: float = 0.0  # share of the photos that lose their face where it could be a layer
    picture_synthetic: float = (
        0.1  # share of flat colours, gradients, text, faces before a wall: lfic/train/synthetic.py
    )

    quality_highest: int = 100  # qualities are drawn from 1 to this
    uniform_share: float = 0.15  # share of faces with one level everywhere
    uniform_levels: list[int] = dataclasses.field(default_factory=lambda: [0, 1, 2])  # which it may be; repeats count

    def check(self) -> None:
        self.at_least(1, "batch", "picture_batch")
        self.at_least(0, "workers", "jitter")
        self.shares("source_floor", "generic", "grey", "jitter_scale", "jitter_share", "jpeg", "uniform_share")
        self.shares("picture_grey", "picture_synthetic", "picture_uncovered")
        if not 1 <= self.jpeg_lowest <= 95:
            raise self.refusal("jpeg_lowest", "allowed are 1 to 95")
        if not 1 <= self.quality_highest <= 100:
            raise self.refusal("quality_highest", "allowed are 1 to 100")
        if not self.uniform_levels or any(level not in (0, 1, 2) for level in self.uniform_levels):
            raise self.refusal("uniform_levels", "allowed is a list of at least one of 0, 1 and 2")
        if not self.picture_sides or min(self.picture_sides) < 16:
            raise self.refusal("picture_sides", "allowed is a list of at least one side of 16 pixels or more")


@dataclasses.dataclass(frozen=True)
class NetworkConfig(Section):
    """``[network]``: the sizes of the network (``lfic.network.net.CodecNetConfig``), and what it begins as."""

    section: ClassVar[str] = "network"

    # What the network of a fresh run begins as: a checkpoint folder, a weights file or the name of a bundled model, of
    # the sizes below or with fewer blocks; empty: random numbers.
    start: str = ""
    # Whether that is the analysis which a weights file has for pictures, and not the one for crops.
    start_pictures: bool = False
    channels: int = 96  # of the features
    # Channels at a quarter, an eighth and a sixteenth of the size, and how many blocks there.
    widths: list[int] = dataclasses.field(default_factory=lambda: [64, 128, 256])
    analysis_blocks: list[int] = dataclasses.field(default_factory=lambda: [1, 2, 5])
    synthesis_blocks: list[int] = dataclasses.field(default_factory=lambda: [1, 2, 4])
    groups: int = 6  # groups of channels that the entropy model codes one after the other
    hidden1: int = 128  # of the entropy model: its first layer
    hidden2: int = 64  # its second layer

    def check(self) -> None:
        self.at_least(1, "channels", "groups", "hidden1", "hidden2")
        for name in ("widths", "analysis_blocks", "synthesis_blocks"):
            if len(getattr(self, name)) != 3 or min(getattr(self, name)) < (1 if name == "widths" else 0):
                raise self.refusal(name, "needed are three numbers, for a quarter, an eighth and a sixteenth")
        if self.channels % self.groups:
            raise self.refusal("groups", f"it must divide channels, found {self.channels}")


@dataclasses.dataclass(frozen=True)
class LossConfig(Section):
    """``[loss]``: what is minimised, and through whose eyes.

    loss = bits + beta(quality) * distortion, with the distortion (lfic/metric/hybrid.py)

        pixel_weight * (mean(w * (x - x')**2) + texture_weight * texture(x, x') + chroma_weight * low_chroma(x, x'))
        + identity_weight * (1 - cos) + feature_weight * features(x, x') + adversarial_weight * GAN(x')
    """

    section: ClassVar[str] = "loss"

    beta_low: float = 800.0  # at quality 1
    beta_high: float = 200000.0  # at quality 100, exponential in between
    crop_beta: float = 1.0  # factor of beta on the template: below 1 crops have fewer bytes at a quality

    pixel_weight: float = 30.0  # at quality 1
    pixel_weight_high: float = 0.0  # at quality 100, exponential in between; 0: as at quality 1
    pixel_only_weight: float = 60.0  # in its place where there is no identity term: warm-up, generic crops
    texture_weight: float = 0.0  # beside a squared error of weight 1: lfic/metric/pixel.py
    chroma_weight: float = 0.0  # beside a squared error of weight 1: lfic/metric/chroma.py
    face_floor: float = 0.25  # w far from the face of an aligned crop; 1 at its centre
    background_weight: float = 1.0  # of what is not face in a picture whose face is seen, times pixel_only_weight

    # The recogniser of the identity term: a file or "facenet:NAME", or a list of them; empty: no identity term.
    recognizer: str | list[str] = ""
    recognizer_weights: list[float] = dataclasses.field(default_factory=list)  # one for each of several; empty: equal
    # Each face is seen by one of several, this often by each: lfic/train/drawn.py; empty: by all.
    recognizer_shares: list[float] = dataclasses.field(default_factory=list)
    identity_weight: float = 1.0
    identity_share: float = 0.5  # share of the aligned faces that the recogniser sees; the term is weighted up as much
    # Of the recogniser's intermediate features; where it is not 0 the originals are described anew each time.
    feature_weight: float = 0.0

    # GAN as a metric. Off: a generator may invent detail (docs/metric.md).
    adversarial_weight: float = 0.0
    adversarial_loss: str = "lsgan"  # or "hinge"
    feature_matching: float = 1.0  # weight of the discriminator's features beside its opinion
    discriminator_width: int = 32  # channels of its first layer
    discriminator_learning_rate: float = 2e-4

    # Of how far the symbols of reconstructions are off that are analysed again (lfic/train/generation.py), whatever the
    # quality; and on how many of a step, in each process.
    generation_weight: float = 0.0
    generation_faces: int = 4

    # Faces of a step, over all processes, on which the head that chooses levels sees what each would cost:
    # lfic/train/levels.py.
    level_faces: int = 2

    def check(self) -> None:
        self.above(0, "beta_low", "beta_high", "crop_beta")
        self.at_least(0, "pixel_weight", "pixel_weight_high", "pixel_only_weight", "texture_weight", "identity_weight")
        self.at_least(0, "feature_weight", "adversarial_weight", "feature_matching", "level_faces")
        self.at_least(0, "discriminator_learning_rate", "chroma_weight", "generation_weight")
        self.at_least(1, "generation_faces")
        self.at_least(1, "discriminator_width")
        self.shares("face_floor", "identity_share", "background_weight")
        self.above(0, "identity_share")
        self.one_of("adversarial_loss", "lsgan", "hinge")
        if self.pixel_weight_high and not self.pixel_weight:
            raise self.refusal("pixel_weight_high", "pixel_weight is 0: an exponential needs both above 0, or neither")
        if self.feature_weight and not self.recognizer:
            raise self.refusal("feature_weight", "its features are a recogniser's, and recognizer is empty")
        if self.recognizer_shares:
            self.check_shares()

    def check_shares(self) -> None:
        """Refuse ``recognizer_shares`` that do not fit the recognisers."""
        count = len(self.recognizer) if isinstance(self.recognizer, list) else 1
        if count < 2 or len(self.recognizer_shares) != count or min(self.recognizer_shares) <= 0:
            raise self.refusal(
                "recognizer_shares",
                f"needed is a number above 0 for each of several recognisers, and recognizer is {self.recognizer!r}",
            )
        if self.feature_weight:
            raise self.refusal(
                "recognizer_shares", f"features need all of them: set feature_weight = 0.0, found {self.feature_weight}"
            )


@dataclasses.dataclass(frozen=True)
class ScheduleConfig(Section):
    """``[schedule]``: the optimiser, and what changes in the course of a run. Shares of the run are of ``steps``."""

    section: ClassVar[str] = "schedule"

    steps: int = 10000
    optimizer: str = "soap"  # or "adam"
    basis_every: int = 10  # steps between two turns of SOAP's bases
    learning_rate: float = 1e-3  # after the warm-up; then half a cosine
    final_learning_rate: float = 2e-5  # at the end
    warmup: int = 200  # steps
    clip: float = 1.0  # of the gradient's norm
    ema: float = 0.998  # decay of the moving average of the parameters, which is what is exported

    explore_until: int = 3000  # step up to which half of the regions' levels are drawn at random
    explore: float = 0.05  # how many after it
    # Only parameters whose names begin with one of these learn, "synthesis." for example; all else is as ``start`` has
    # it. Empty: all learn.
    learns: list[str] = dataclasses.field(default_factory=list)
    levels_only: bool = False  # only the head that chooses levels learns; all else is as ``start`` has it

    identity_from: int = 3000  # step at which the identity term begins
    adversarial_from: int = 3000  # step at which the adversarial term begins
    hard_from: float = 0.8  # share of the run after which rates are those of rounded symbols
    integers_from: float = 0.8  # share of the run after which the entropy model is rounded as in the export
    entropy_from: float = 1.0  # share of the run after which the transform is frozen and only the entropy model learns
    entropy_learning_rate: float = 3e-4  # where that stage begins

    def check(self) -> None:
        self.at_least(1, "steps", "basis_every")
        self.at_least(0, "learning_rate", "final_learning_rate", "entropy_learning_rate", "warmup")
        self.at_least(0, "explore_until", "identity_from", "adversarial_from")
        self.above(0, "clip")
        self.shares("ema", "explore", "hard_from", "integers_from")
        self.one_of("optimizer", "adam", "soap")
        if self.learns and (self.levels_only or self.entropy_from < 1):
            raise self.refusal("learns", "levels_only and entropy_from say by themselves what learns: set learns = []")
        if not 0 < self.entropy_from <= 1:
            raise self.refusal("entropy_from", "allowed are shares of the run, above 0 and up to 1")

    @property
    def entropy_step(self) -> int:
        """The step at which the transform is frozen."""
        return round(self.entropy_from * self.steps)


@dataclasses.dataclass(frozen=True)
class RunConfig(Section):
    """``[run]``: the machine, and what is written and looked at on the way."""

    section: ClassVar[str] = "run"

    out: str = "runs/face-v1/1-scratch"  # folder for all that a run writes
    seed: int = 1
    threads: int = 2  # of PyTorch, in each process
    device: str = "cpu"  # or "cuda", with torchrun one GPU for each process, or "cuda:N"
    # On one GPU: a step is one CUDA graph, and every face is seen by the recogniser, or by one of several with shares:
    # lfic/train/graph.py.
    graphs: bool = False
    # Or "bfloat16": the transforms under autocast; parameters, symbols, rates and losses stay float32.
    precision: str = "float32"

    log_every: int = 50  # steps
    save_every: int = 250
    save_seconds: float = 0.0  # a checkpoint also where the last one is older than this; 0: by steps alone
    sample_every: int = 1000  # a sheet of reconstructions
    validate_every: int = 1000
    validation: str = ""  # faces of other people, a source like those of [data]; empty: no validation
    validation_recognizer: str = ""  # one that is not in the loss; empty: no similarity
    validation_faces: int = 64  # how many of them, from the first
    # Packs of lfic.data.pack_pictures, validated as crops and as pictures: lfic/train/picture_validation.py.
    validation_sets: list[str] = dataclasses.field(default_factory=list)

    def check(self) -> None:
        self.at_least(1, "threads", "log_every", "save_every", "sample_every", "validate_every", "validation_faces")
        self.at_least(0, "save_seconds")
        self.one_of("precision", "float32", "bfloat16")
