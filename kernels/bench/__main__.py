"""python -m lfic.kernels.bench"""

from .bench import main

if __name__ == "__main__":
    raise SystemExit(main())
