"""An interpreter in which torch and what goes with it are not installed: import this first."""

import sys

ABSENT = ("torch", "torchvision", "triton", "safetensors", "facenet_pytorch")
sys.modules.update(dict.fromkeys(ABSENT))  # None: "no module named so"
