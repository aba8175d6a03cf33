"""Work for worker processes, in a module that one imports quickly: some of it kills them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pseudocap.workers import ordered


def squared(number: int) -> int:
    """Killed by negative numbers, as by a fault in a codec."""
    if number < 0:
        time.sleep(0.2)  # the others are under way meanwhile
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 13:
        raise ValueError("13 has no square")
    return number * number


def slowly(path: str) -> str:
    """Tells that it has begun, and takes its time."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(0.5)
    return path


class Given:
    """A function that notes in which process it arrives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__dict__ = state
        with (self.folder / f"{os.getpid()}").open("a") as file:
            file.write("x")

    def __call__(self, item: int) -> tuple[int, int]:
        return item, os.getpid()


if __name__ == "__main__":
    import sys

    print("started", flush=True)
    for _ in ordered(slowly, (f"{sys.argv[1]}/{number}" for number in range(1000)), workers=2):
        print("one", flush=True)
