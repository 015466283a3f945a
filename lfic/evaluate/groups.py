"""Does a codec treat groups of people alike? Similarity by age, sex and skin group, where file names follow UTKFace's."""

import numpy as np

AGES = ((0, 12), (13, 19), (20, 39), (40, 59), (60, 200))
SKIN = ("White", "Black", "Asian", "Indian", "Others")  # UTKFace's own labels


def utkface_groups(name):
    """Groups of a UTKFace file name, age_gender_race_date: ["age 20-39", "female", "Asian"], or [] where it is none."""
    fields = name.split("_")
    if len(fields) < 4 or not all(field.isdigit() for field in fields[:3]):
        return []
    age, gender, race = map(int, fields[:3])
    out = [f"age {low}-{high}" if high < 200 else f"age {low}+" for low, high in AGES if low <= age <= high]
    return out + (["male", "female"][gender : gender + 1]) + list(SKIN[race : race + 1])


def members(names):
    """Group -> indices into ``names``, ages first, then sexes, then skin groups."""
    out = {}
    for i, name in enumerate(names):
        for group in utkface_groups(name):
            out.setdefault(group, []).append(i)
    order = [f"age {low}-{high}" if high < 200 else f"age {low}+" for low, high in AGES] + ["male", "female", *SKIN]
    return {group: np.array(out[group]) for group in order if group in out}


def balanced(names, count):
    """A sample of file names in which every group has ``count`` members, or all that there are -> sorted list.

    Small groups choose first; what a group has through the others' choices counts. Members are taken evenly over the
    sorted names, so that the same files give the same sample. A name of no group is not taken.
    """
    names, chosen = sorted(names), set()
    for indices in sorted(members(names).values(), key=len):
        free = [i for i in indices if i not in chosen]
        wanted = min(len(free), max(0, count - (len(indices) - len(free))))
        chosen.update(free[i] for i in np.linspace(0, len(free) - 1, wanted).astype(int)) if wanted else None
    return [names[i] for i in sorted(chosen)]


def group_rows(points, reference, names):
    """Similarity of each group of faces: list of dicts codec, setting, recogniser, group, faces, bytes, similarity,
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
        for recogniser, embeddings in point.embeddings.items():
            similarity = np.einsum("nd,nd->n", embeddings.astype(np.float64), reference[recogniser].astype(np.float64))
            for group, member in {**groups, "all": labelled}.items():
                rows.append(
                    {
                        "codec": point.codec,
                        "setting": point.setting,
                        "recogniser": recogniser,
                        "group": group,
                        "faces": len(member),
                        "bytes": point.size[member].mean(),
                        "similarity": similarity[member].mean(),
                        "standard_error": similarity[member].std(ddof=1) / len(member) ** 0.5
                        if len(member) > 1
                        else None,
                        "gap": similarity[member].mean() - similarity[labelled].mean(),
                    }
                )
    return rows
