"""What decoding and encoding in integers needs of a weights file: context model, tables, integer networks.

    python csrc/wasm/weights.py OUT [--model NAME] [--decoding]

With --decoding what decoding alone needs, half as much: lfic/weights/face-v1-decoder.safetensors was made so. The
smaller file says in its metadata, under "source", which weights it was cut from, so that it reads the same files.
"""

import argparse

from safetensors.numpy import save

from lfic.files import write_atomically
from lfic.format.weights import FORMAT, digest, load_arrays


def cut(name: str = "face-v1", decoding: bool = False) -> bytes:
    """The bytes of the smaller file."""
    arrays, metadata = load_arrays(name)
    wanted = ("context.", "tables.", "integers.synthesis." if decoding else "integers.")
    kept = {key: value for key, value in arrays.items() if key.startswith(wanted)}
    texts = {"format": FORMAT, "source": metadata["digest"]}
    texts["digest"] = digest(kept, texts)
    data: bytes = save(kept, texts)
    return data


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--model", default="face-v1")
    parser.add_argument("--decoding", action="store_true")
    args = parser.parse_args()
    write_atomically(args.out, cut(args.model, args.decoding))
