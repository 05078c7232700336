"""``python -m voxveil``."""

from voxveil.cli.main import run

if __name__ == "__main__":
    run()
