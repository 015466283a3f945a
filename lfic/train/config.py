"""Everything that a training run is made of: five sections, printed and stored with its checkpoints."""

import dataclasses
import json
import os
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidInputError
from .section import Section
from .sections import DataConfig, LossConfig, NetworkConfig, RunConfig, ScheduleConfig

SECTIONS: dict[str, type[Section]] = {
    one.section: one for one in (DataConfig, NetworkConfig, LossConfig, ScheduleConfig, RunConfig)
}
KEYS = {name: [field.name for field in dataclasses.fields(one)] for name, one in SECTIONS.items()}
SECTION_OF = {key: name for name, keys in KEYS.items() for key in keys}
RENAMED = {"data": "faces"}  # keys that the flat form called otherwise


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """A run. Values are checked when it is made; see lfic/train/sections.py for all of them."""

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    run: RunConfig = dataclasses.field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        """What one section demands of another."""
        if self.schedule.levels_only and not (self.network.start and self.loss.level_faces):
            raise self.schedule.refusal(
                "levels_only",
                f"it needs [network] start, found {self.network.start!r}, and [loss] level_faces above 0, found "
                f"{self.loss.level_faces}",
            )
        if self.loss.generation_weight:
            self._check_generations()
        if self.run.graphs:
            self._check_graphs()
        if self.data.pictures:
            self._check_pictures()

    def _check_generations(self) -> None:
        learns = self.schedule.learns
        if self.schedule.levels_only or (learns and not any(name.startswith("analysis") for name in learns)):
            raise self.loss.refusal(
                "generation_weight",
                "its gradient reaches the analysis alone, which has to learn; found were "
                + listed({("schedule", "learns"): learns, ("schedule", "levels_only"): self.schedule.levels_only}),
            )

    def _check_pictures(self) -> None:
        wanted: dict[tuple[str, str], Any] = {
            ("schedule", "levels_only"): False,
            ("loss", "feature_weight"): 0.0,
            ("loss", "adversarial_weight"): 0.0,
        }
        other = self._others(wanted)
        if other:
            raise self.data.refusal("pictures", f"they need {listed(wanted)}; found were {listed(other)}")

    def _others(self, wanted: Mapping[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
        """(section, key) -> value where it is another than the wanted one."""
        found = {(section, key): getattr(getattr(self, section), key) for section, key in wanted}
        return {place: value for place, value in found.items() if value != wanted[place]}

    def _check_graphs(self) -> None:
        wanted: dict[tuple[str, str], Any] = {
            ("schedule", "optimizer"): "soap",
            ("schedule", "entropy_from"): 1.0,
            ("loss", "identity_share"): 1.0,
            ("loss", "feature_weight"): 0.0,
            ("loss", "adversarial_weight"): 0.0,
        }
        other = self._others(wanted)
        if other or not self.run.device.startswith("cuda"):
            raise InvalidInputError(
                f'[run] graphs is true; it needs device = "cuda", {listed(wanted)}; found were '
                f"{listed({('run', 'device'): self.run.device, **other})}"
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "TrainConfig":
        """Read a TOML file.

        Raises:
            InvalidInputError: no such file, no TOML, an unknown key, a wrong type or a value that is not allowed; file,
                section and key are named.
        """
        path = pathlib.Path(path)
        if not path.is_file():
            raise InvalidInputError(f"no configuration at {path}")
        try:
            return cls.from_sections(tomllib.loads(path.read_text(encoding="utf-8")))
        except tomllib.TOMLDecodeError as error:
            raise InvalidInputError(f"{path} is no TOML file: {error}") from None
        except (UnicodeDecodeError, InvalidInputError) as error:
            raise InvalidInputError(f"{path}: {error}") from None

    @classmethod
    def from_sections(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """From a dict of dicts, as ``sections`` and a TOML file have it; what it lacks is at its default."""
        for name, keys in values.items():
            check_names(name, keys)
        return cls(**{name: SECTIONS[name](**keys) for name, keys in values.items()})  # type: ignore[arg-type]

    def changed(self, **values: Mapping[str, Any]) -> "TrainConfig":
        """A copy with other values: ``changed(schedule={"steps": 9}, run={"out": "runs/x"})``."""
        return dataclasses.replace(
            self, **{name: dataclasses.replace(getattr(self, name), **keys) for name, keys in values.items()}
        )

    def sections(self) -> dict[str, dict[str, Any]]:
        """As a dict of dicts."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """The whole configuration as JSON."""
        return json.dumps(self.sections(), indent=1)

    def told(self) -> str:
        """What differs from the defaults, a line for each section."""
        lines = []
        for field in dataclasses.fields(self):
            section = getattr(self, field.name)
            changed = [
                f"{key.name} = {getattr(section, key.name)!r}"
                for key in dataclasses.fields(section)
                if getattr(section, key.name) != default_of(key)
            ]
            if changed:
                lines.append(f"[{field.name}] {', '.join(changed)}")
        return "\n".join(lines) or "all settings are the defaults"


def default_of(field: "dataclasses.Field[Any]") -> Any:
    """What a setting is where a file does not name it; MISSING where it has to."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def listed(values: Mapping[tuple[str, str], Any]) -> str:
    """Settings as an error names them."""
    return ", ".join(f"[{section}] {key} = {value!r}" for (section, key), value in values.items())


def check_names(section: str, keys: Any) -> None:
    """Refuse a section or a key that there is not, and say where a key belongs."""
    if section not in SECTIONS:
        place = SECTION_OF.get(section)
        raise InvalidInputError(
            f"unknown section {section!r}; there are {', '.join(f'[{name}]' for name in SECTIONS)}"
            + (f", and {section} belongs into [{place}]" if place else "")
        )
    if not isinstance(keys, Mapping):
        raise InvalidInputError(f"{section} is {keys!r}; it must be a section, [{section}], with keys of its own")
    unknown = sorted(set(keys) - set(KEYS[section]))
    if unknown:
        elsewhere = [f"{key} belongs into [{SECTION_OF[key]}]" for key in unknown if key in SECTION_OF]
        raise InvalidInputError(
            f"[{section}] has unknown keys {unknown}; known are {KEYS[section]}"
            + (f"; {', '.join(elsewhere)}" if elsewhere else "")
        )


def sectioned(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A stored configuration as a dict of dicts, from that form or from the flat one of earlier files.

    What earlier versions knew and this one does not is left out; nothing is checked.
    """
    out: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    flat = not any(isinstance(config.get(name), Mapping) for name in SECTIONS)
    for key, value in config.items():
        if not flat:
            out[key] = dict(value)
        elif RENAMED.get(key, key) in SECTION_OF:
            key = RENAMED.get(key, key)
            out[SECTION_OF[key]][key] = value
    return out
