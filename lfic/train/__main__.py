"""lfic train CONFIG.toml, or python -m lfic.train CONFIG.toml; with torchrun in several processes."""

import argparse
from collections.abc import Sequence

from .config import TrainConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: train, or resume, the run that a TOML file describes."""
    parser = argparse.ArgumentParser(
        prog="lfic train", description="Train a codec; resumes from its newest checkpoint."
    )
    parser.add_argument("config", help="TOML file, see configs/")
    parser.add_argument("--seconds", type=float, help="stop and save after about so many seconds; run again to go on")
    parser.add_argument(
        "--profile",
        type=int,
        nargs="?",
        const=5,
        metavar="N",
        help="train nothing; show where a step's time goes, N repeats (default 5)",
    )
    args = parser.parse_args(argv)
    config = TrainConfig.load(args.config)
    if args.profile is not None:
        from .profile import profile

        profile(config, max(1, args.profile))
    else:
        from .loop import run

        run(config, args.seconds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
