"""Quality, bytes and PSNR of one face.

python examples/rates.py [IMAGE]
"""

import sys

import numpy as np
from PIL import Image

import lfic
from lfic.demo import ASTRONAUT


def main(path: str) -> None:
    face = np.asarray(Image.open(path).convert("RGB"))
    codec = lfic.load_codec()
    print("quality  bytes  PSNR, dB")
    for quality in (1, 10, 25, 40, 60, 80, 100):
        data = codec.encode(face, quality=quality)
        error = np.asarray(codec.decode(data), np.float64) - face
        print(f"{quality:7}  {len(data):5}  {10 * np.log10(255**2 / np.mean(error**2)):8.2f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(ASTRONAUT))
