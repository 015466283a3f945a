"""What decoding and encoding in integers needs of a weights file: context model, tables, integer networks.

    python csrc/wasm/weights.py OUT [NAME]

The smaller file says in its metadata, under "source", which weights it was cut from, so that it reads the same files.
"""

import sys

from safetensors.numpy import save

from lfic.files import write_atomically
from lfic.format.weights import FORMAT, digest, load_arrays


def main(out: str, name: str = "face-v1") -> None:
    arrays, metadata = load_arrays(name)
    kept = {key: value for key, value in arrays.items() if key.startswith(("context.", "tables.", "integers."))}
    texts = {"format": FORMAT, "source": metadata["digest"]}
    texts["digest"] = digest(kept, texts)
    write_atomically(out, save(kept, texts))


if __name__ == "__main__":
    main(*sys.argv[1:])
