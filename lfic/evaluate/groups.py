"""Does a codec treat groups of people alike? Similarity by age, sex and skin group, where file names follow
UTKFace's."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .points import Embeddings, Point
from .tables import Row

AGES = ((0, 12), (13, 19), (20, 39), (40, 59), (60, 200))
SKIN = ("White", "Black", "Asian", "Indian", "Others")  # UTKFace's own labels


def age_group(low: int, high: int) -> str:
    return f"age {low}-{high}" if high < 200 else f"age {low}+"


def utkface_groups(name: str) -> list[str]:
    """Groups of a UTKFace file name, age_gender_race_date: ["age 20-39", "female", "Asian"], or [] where it is none."""
    fields = name.rpartition("/")[2].split("_")
    if len(fields) < 4 or not all(field.isdigit() for field in fields[:3]):
        return []
    age, gender, race = map(int, fields[:3])
    out = [age_group(low, high) for low, high in AGES if low <= age <= high]
    return out + (["male", "female"][gender : gender + 1]) + list(SKIN[race : race + 1])


def members(names: Sequence[str]) -> dict[str, NDArray[np.integer]]:
    """Group -> indices into ``names``, ages first, then sexes, then skin groups."""
    out: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        for group in utkface_groups(name):
            out.setdefault(group, []).append(i)
    order = [age_group(low, high) for low, high in AGES] + ["male", "female", *SKIN]
    return {group: np.array(out[group]) for group in order if group in out}


def balanced(names: Iterable[str], count: int) -> list[str]:
    """A sample of file names in which every group has ``count`` members, or all that there are -> sorted list.

    Small groups choose first; what a group has through the others' choices counts. Members are taken evenly over the
    sorted names, so that the same files give the same sample. A name of no group is not taken.
    """
    names = sorted(names)
    chosen: set[int] = set()
    for indices in sorted(members(names).values(), key=len):
        free = [i for i in indices if i not in chosen]
        wanted = min(len(free), max(0, count - (len(indices) - len(free))))
        if wanted:
            chosen.update(free[i] for i in np.linspace(0, len(free) - 1, wanted).astype(int))
    return [names[i] for i in sorted(chosen)]


def group_rows(points: Iterable[Point], reference: Embeddings, names: Sequence[str]) -> list[Row]:
    """Similarity of each group of faces: list of dicts codec, setting, recognizer, group, faces, bytes, similarity,
    standard_error, gap.

    ``bytes`` are the group's own. ``gap`` is the group's mean similarity less that of all faces with a group. The last
    row of each point, group "all", has the means over those faces.
    """
    groups = members(names)
    if not groups:
        return []
    labelled = np.unique(np.concatenate(list(groups.values())))
    rows = []
    for point in points:
        for name, embeddings in point.embeddings.items():
            similarity = np.einsum("nd,nd->n", embeddings.astype(np.float64), reference[name].astype(np.float64))
            for group, member in {**groups, "all": labelled}.items():
                mean, count = similarity[member].mean(), len(member)
                rows.append(
                    {
                        "codec": point.codec,
                        "setting": point.setting,
                        "recognizer": name,
                        "group": group,
                        "faces": count,
                        "bytes": point.size[member].mean(),
                        "similarity": mean,
                        "standard_error": similarity[member].std(ddof=1) / count**0.5 if count > 1 else None,
                        "gap": mean - similarity[labelled].mean(),
                    }
                )
    return rows
