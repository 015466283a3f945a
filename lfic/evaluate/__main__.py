"""``lfic evaluate``: verification accuracy against bytes, for any codec, on anybody's faces.

    lfic evaluate FACES... --pairs pairs.txt --landmarks landmarks.npz --recognizer net.pt [--codecs lfic,webp,...]

FACES are folders or tar files. The cache makes a second run, or one that was killed, go on where the first stood.
"""

import sys
from collections.abc import Sequence

from ..errors import LficError
from .arguments import parse


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: argv without the program's name -> exit status.

    0; 1 where --gate finds the new weights worse; 2 with a message on stderr.
    """
    try:
        args = parse(argv, (__doc__ or "").split("\n")[0].replace("``", ""))
        from .evaluation import evaluate, evaluate_gate  # torch takes a second, and is not needed to show the options

        if args.gate:
            return 0 if evaluate_gate(args) else 1
        print(", ".join(evaluate(args)))
        return 0
    except LficError as error:
        print(f"lfic evaluate: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
