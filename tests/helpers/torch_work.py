"""Work of a module that imports torch, which here would take several threads."""

from __future__ import annotations

import torch

torch.set_num_threads(3)


def threads(_: int) -> int:
    return torch.get_num_threads()
