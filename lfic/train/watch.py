"""What the first process shows of a run: progress bar, validation, sheets of samples."""

import sys

from tqdm import tqdm

from ..data.base import FaceSource
from ..data.sources import open_faces
from ..metric.identity import load_recognizer
from .log import Log
from .picture_validation import PictureWatch
from .sections import RunConfig
from .state import Trainer
from .validate import aligned_faces, append_rows, save_sheet, validate

SHOWN = 4  # faces on a sheet
IN_BAR = ("loss", "bytes", "psnr", "cos", "faces_per_s")


class Watch:
    """Looks at a run after each step.

    Args:
        faces: those of the run; its first ones are on the sheets where there is no validation.
    """

    def __init__(self, trainer: Trainer, run: RunConfig, faces: FaceSource):
        self.trainer, self.run, device = trainer, run, trainer.world.device
        self.held_out = (
            aligned_faces(open_faces(run.validation), run.validation_faces).to(device) if run.validation else None
        )
        self.judge = load_recognizer(run.validation_recognizer, device) if run.validation_recognizer else None
        self.samples = aligned_faces(faces, SHOWN).to(device) if self.held_out is None else self.held_out[:SHOWN]
        self.pictures: PictureWatch | None = None
        if run.validation_sets:
            self.pictures = PictureWatch(trainer, run, trainer.config.data.picture_sides, self.judge)
        # Silent where there is no terminal.
        self.bar = tqdm(total=trainer.schedule.steps, initial=trainer.step, unit="step", disable=None)

    def look(self, log: Log) -> None:
        """After a step."""
        trainer = self.trainer
        if log.count == 0:
            self.bar.set_postfix({k: log.row[k] for k in IN_BAR}, refresh=False)
        self.bar.update()
        if self.held_out is not None and trainer.step % self.run.validate_every == 0:
            rows = validate(trainer.averaged_net(), self.held_out, self.judge)
            append_rows(trainer.out / "validation.csv", trainer.step, rows)
        if self.pictures:
            self.pictures.look()
        if trainer.step % self.run.sample_every == 0:
            save_sheet(trainer.out / "samples" / f"{trainer.step:07d}.png", trainer.averaged_net(), self.samples)

    def say(self, text: str) -> None:
        """A line above the bar."""
        self.bar.write(text)
        sys.stdout.flush()

    def close(self) -> None:
        """Leave the screen."""
        self.bar.close()
