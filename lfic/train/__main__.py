"""python -m lfic.train CONFIG.toml"""
import argparse

from .config import TrainConfig


def main(argv=None):
    """Command line: train, or resume, the run that a TOML file describes."""
    parser = argparse.ArgumentParser(prog="lfic train", description="Train a codec; resumes from its newest checkpoint.")
    parser.add_argument("config", help="TOML file, see configs/")
    parser.add_argument("--seconds", type=float, help="stop and save after about so many seconds; run again to go on")
    args = parser.parse_args(argv)
    from .loop import run

    run(TrainConfig.load(args.config), args.seconds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
