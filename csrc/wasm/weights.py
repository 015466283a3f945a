"""What decoding and encoding in integers needs of a weights file: context model, tables, integer networks.

    python csrc/wasm/weights.py OUT [--model NAME] [--decoding]

Of face-v2 this has face-v1's as well, which code what stands on the template: their names begin with "template.". With
--decoding what decoding alone needs, half as much: lfic/weights/face-v2-decoder.safetensors was made so. The smaller
file says in its metadata which weights it was cut from, under "source" and "template", so that it reads the same files.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import save

from lfic.files import write_atomically
from lfic.format.container import MODELS, TEMPLATES
from lfic.format.weights import FORMAT, digest, load_arrays, model_number


def integers(arrays: Mapping[str, NDArray[Any]], decoding: bool) -> dict[str, NDArray[Any]]:
    """Of a weights file what integer arithmetic takes."""
    wanted = ("context.", "tables.", "integers.synthesis." if decoding else "integers.")
    return {key: value for key, value in arrays.items() if key.startswith(wanted)}


def cut(name: str = "face-v2", decoding: bool = False) -> bytes:
    """The bytes of the smaller file."""
    arrays, metadata = load_arrays(name)
    kept = integers(arrays, decoding)
    texts = {"format": FORMAT, "source": metadata["digest"]}
    template = TEMPLATES.get(model_number(metadata))
    if template is not None:
        other, told = load_arrays(MODELS[template])
        kept |= {f"template.{key}": value for key, value in integers(other, decoding).items()}
        texts["template"] = told["digest"]
    texts["digest"] = digest(kept, texts)
    data: bytes = save(kept, texts)
    return data


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--model", default="face-v2")
    parser.add_argument("--decoding", action="store_true")
    args = parser.parse_args()
    write_atomically(args.out, cut(args.model, args.decoding))
