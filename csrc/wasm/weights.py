"""What decoding and encoding in integers needs of a weights file: context model, tables, integer networks.

    python csrc/wasm/weights.py OUT [--model NAME] [--decoding] [--look vivid]

Of face-v2 this has face-v1's as well, whose networks code what stands on the template: their names begin with
"former.", and those of face-v2's own entropy model for that with "template.". With --decoding what decoding alone
needs, half as much: csrc/tools/face-v2-decoder.safetensors was made so. With a look as well, it shows files in that.
The smaller file says in its metadata which weights it was cut from, under "source" and "former", so that it reads the
same files.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import save

from lfic.errors import InvalidInputError
from lfic.files import write_atomically
from lfic.format.container import FORMER, MODELS
from lfic.format.look import Look, look_path
from lfic.format.weights import FORMAT, TEMPLATE, digest, load_arrays, model_number


def integers(arrays: Mapping[str, NDArray[Any]], decoding: bool) -> dict[str, NDArray[Any]]:
    """Of a weights file what integer arithmetic takes."""
    wanted = ("context.", "tables.", TEMPLATE, "integers.synthesis." if decoding else "integers.")
    return {key: value for key, value in arrays.items() if key.startswith(wanted)}


def cut(name: str = "face-v2", decoding: bool = False, look: Look = "faithful") -> bytes:
    """The bytes of the smaller file. look: of what decodes; of weights that have it, or the model before them."""
    if look != "faithful" and not decoding:
        raise InvalidInputError(f"a look, {look!r}, is of what decodes: add --decoding")
    number = model_number(load_arrays(name)[1])
    former = FORMER.get(number)
    arrays, metadata = load_arrays(look_path(name, look) if former is None else name)
    kept = integers(arrays, decoding)
    texts = {"format": FORMAT, "source": source(metadata)}
    if former is not None:
        other, told = load_arrays(look_path(MODELS[former], look))
        kept |= {f"former.{key}": value for key, value in integers(other, decoding).items()}
        texts["former"] = source(told)
    texts["digest"] = digest(kept, texts)
    data: bytes = save(kept, texts)
    return data


def source(metadata: Mapping[str, str]) -> str:
    """The digest of the weights whose files these read."""
    return metadata.get("source", metadata["digest"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--model", default="face-v2")
    parser.add_argument("--decoding", action="store_true")
    parser.add_argument("--look", default="faithful")
    args = parser.parse_args()
    write_atomically(args.out, cut(args.model, args.decoding, args.look))
