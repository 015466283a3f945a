"""Everything that a training run is made of, as one dataclass that is printed and stored with its checkpoints."""

import dataclasses
import json
import pathlib
import tomllib

from ..errors import InvalidInputError


@dataclasses.dataclass
class TrainConfig:
    """A run. Paths are relative to the working directory."""

    data: str | list = (
        "data/train.safetensors"  # a pack, folder, tar shards or parquet files, or a list of such: lfic/data/sources.py
    )
    out: str = "runs/face-v1"
    start: str = (
        ""  # what a new run's network begins as: a checkpoint folder, a weights file or the name of a bundled model
    )
    recognizer: str | list = (
        ""  # for the identity term: a file or "facenet:NAME", or a list of them; empty: no identity term
    )
    recognizer_weights: list = dataclasses.field(default_factory=list)  # one for each of several; empty: equal
    steps: int = 10000
    batch: int = 16  # faces of a step, over all processes
    learning_rate: float = 1e-3
    final_learning_rate: float = 2e-5
    warmup: int = 200
    optimizer: str = "soap"  # or "adam"
    basis_every: int = 10  # steps between two turns of SOAP's bases
    clip: float = 1.0
    ema: float = 0.998
    seed: int = 1
    threads: int = 2
    workers: int = 0  # processes that make batches ahead; 0: none
    device: str = "cpu"  # or "cuda", with torchrun one GPU for each process
    graphs: bool = (
        False  # on one GPU: a step is one CUDA graph, and the recogniser looks at every face: lfic/train/graph.py
    )
    precision: str = (
        "float32"  # or "bfloat16": the transforms under autocast; parameters, symbols, rates and losses stay float32
    )

    # loss = bits + beta(quality) * distortion; distortion = identity_weight * (1 - cos)
    #        + pixel_weight * (mean(w * (x - x')**2) + texture_weight * texture(x, x')), see lfic/metric/pixel.py
    beta_low: float = 800.0
    beta_high: float = 200000.0
    pixel_weight: float = 30.0  # at quality 1
    pixel_weight_high: float = 0.0  # at quality 100, exponential in between; 0: as at quality 1
    pixel_only_weight: float = 60.0  # where there is no identity term: warm-up, generic crops
    texture_weight: float = 0.0
    identity_weight: float = 1.0
    feature_weight: float = (
        0.0  # of the recogniser's intermediate features; where it is not 0 the originals are described anew each time
    )
    identity_share: float = 0.5  # share of the aligned faces of a batch that the recogniser sees
    identity_from: int = 3000  # step at which the identity term begins
    face_floor: float = 0.25  # pixel weight far from the face of an aligned crop; 1 at its centre

    # GAN as a metric, in the distortion like the other terms. Off: a generator may invent detail (docs/metric.md).
    adversarial_weight: float = 0.0
    adversarial_from: int = 3000  # step at which it begins
    adversarial_loss: str = "lsgan"  # or "hinge"
    feature_matching: float = 1.0
    discriminator_width: int = 32
    discriminator_learning_rate: float = 2e-4

    source_floor: float = (
        1 / 3
    )  # a source is drawn as often as if it had at least this share of the largest one's faces
    generic: float = 0.12  # share of crops that are not aligned: any place, scale 0.5 to 1
    grey: float = 0.03
    jitter: float = 0.0  # pixels, at most, by which an aligned crop is off the template
    jitter_scale: float = 0.0  # by how much, at most, it is too large or too small
    jitter_share: float = 0.5  # share of the aligned crops that jitter
    jpeg: float = 0.0  # share of the faces that were JPEG files before, of quality jpeg_lowest to 95
    jpeg_lowest: int = 40
    explore_until: int = 3000  # before: half of the levels at random; after: ``explore``
    explore: float = 0.05
    # of a step, over all processes, on which the head that chooses levels sees what each would cost:
    # lfic/train/levels.py
    level_faces: int = 2
    levels_only: bool = False  # only that head learns; all else is as ``start`` has it
    quality_highest: int = 100  # of the qualities that are drawn
    uniform_share: float = 0.15  # share of faces with one level everywhere
    uniform_levels: list = dataclasses.field(default_factory=lambda: [0, 1, 2])  # which it may be
    hard_from: float = 0.8  # share of the run after which rates are those of rounded symbols
    integers_from: float = 0.8  # share of the run after which the entropy model is rounded as in the export

    entropy_from: float = 1.0  # share of the run after which the transform is frozen and only the entropy model learns
    entropy_learning_rate: float = 3e-4  # where that stage begins

    channels: int = 96
    widths: list = dataclasses.field(
        default_factory=lambda: [64, 128, 256]
    )  # channels at a quarter, an eighth and a sixteenth of the size
    analysis_blocks: list = dataclasses.field(default_factory=lambda: [1, 2, 5])  # how many there
    synthesis_blocks: list = dataclasses.field(default_factory=lambda: [1, 2, 4])
    groups: int = 6  # groups of channels that the entropy model codes one after the other
    hidden1: int = 128  # of the entropy model
    hidden2: int = 64
    log_every: int = 50
    save_every: int = 250
    validate_every: int = 1000
    validation: str = ""  # faces of other people, like ``data``; empty: no validation
    validation_recognizer: str = ""  # like ``recognizer``: one that is not in the loss
    validation_faces: int = 64
    sample_every: int = 1000  # a sheet of reconstructions every so many steps

    @classmethod
    def load(cls, path):
        """Read a TOML file; unknown keys are refused by name."""
        path = pathlib.Path(path)
        if not path.is_file():
            raise InvalidInputError(f"no configuration at {path}")
        values = tomllib.loads(path.read_text())
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InvalidInputError(f"{path}: unknown keys {unknown}; known are {sorted(known)}")
        return cls(**values)

    def __post_init__(self):
        for name in ("log_every", "save_every", "validate_every", "sample_every", "batch", "threads", "basis_every"):
            if getattr(self, name) < 1:
                raise InvalidInputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name, allowed in (
            ("optimizer", ("adam", "soap")),
            ("precision", ("float32", "bfloat16")),
            ("adversarial_loss", ("lsgan", "hinge")),
        ):
            if getattr(self, name) not in allowed:
                raise InvalidInputError(
                    f"{name} is {getattr(self, name)!r}; allowed are {' and '.join(map(repr, allowed))}"
                )
        for name in (
            "workers",
            "level_faces",
            "adversarial_weight",
            "feature_matching",
            "feature_weight",
            "texture_weight",
        ):
            if not getattr(self, name) >= 0:
                raise InvalidInputError(f"{name} is {getattr(self, name)}; it must be at least 0")
        if self.feature_weight and not self.recognizer:
            raise InvalidInputError(
                f"feature_weight is {self.feature_weight}: its features are a recogniser's, and recognizer is empty"
            )
        if self.levels_only and not (self.start and self.level_faces):
            raise InvalidInputError(
                f"levels_only is true; it needs a start, found {self.start!r}, and level_faces above 0, found "
                f"{self.level_faces}"
            )
        if not 1 <= self.quality_highest <= 100:
            raise InvalidInputError(f"quality_highest is {self.quality_highest}; allowed are 1 to 100")
        if not self.uniform_levels or any(level not in (0, 1, 2) for level in self.uniform_levels):
            raise InvalidInputError(
                f"uniform_levels is {self.uniform_levels}; allowed is a list of at least one of 0, 1 and 2"
            )
        if self.graphs:
            wanted = {
                "optimizer": "soap",
                "identity_share": 1.0,
                "feature_weight": 0.0,
                "adversarial_weight": 0.0,
                "entropy_from": 1.0,
            }
            other = {name: getattr(self, name) for name, value in wanted.items() if getattr(self, name) != value}
            if other or not self.device.startswith("cuda"):
                raise InvalidInputError(
                    f'graphs is true; it needs device = "cuda" and {wanted}, found were {other | {"device": self.device}}'
                )
        if not 0 < self.entropy_from <= 1:
            raise InvalidInputError(
                f"entropy_from is {self.entropy_from}; allowed are shares of the run, above 0 and up to 1"
            )
        if not 1 <= self.jpeg_lowest <= 95:
            raise InvalidInputError(f"jpeg_lowest is {self.jpeg_lowest}; allowed are 1 to 95")

    @property
    def entropy_step(self):
        """The step at which the transform is frozen."""
        return round(self.entropy_from * self.steps)

    def to_json(self):
        """The whole configuration as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1)
