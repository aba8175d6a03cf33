"""A source whose decoder dies of some files, in a module that a worker can import."""

from __future__ import annotations

import os
import signal

import torch

from pseudocap.data.stream.sources import RowSource
from pseudocap.types import Sample


class CrashingRows(RowSource):
    """Killed by files named crash, as by a fault in a codec."""

    def sample(self, index: int, generator: torch.Generator | None) -> Sample:
        if "crash" in self.rows[index].video:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(index, generator)
