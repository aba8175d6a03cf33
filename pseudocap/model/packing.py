"""Pack captions of a batch side by side in rows, so that nothing is computed for padding.

About half of a batch of captions is padding. The frozen layers and the adapters' own weights see the packed rows, where
positions that start again from 0 keep captions apart; the attention to the videos alone sees one row for each caption,
because each has its own video. Legend: N captions, L tokens, P rows, S tokens of a row, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

ROW = 256  # tokens of a row: the mask of a row is square, so longer ones cost more than they save
WORTH = 0.9  # of the batch with its padding; above it packing moves tokens about for little


@dataclass(frozen=True, slots=True)
class Packing:
    """Map tokens: `source_PS` is the index in N * L of a packed token, `target_NL` that in P * S of each token; where
    there is padding either names some real token, whose copy nobody looks at."""

    source_PS: torch.Tensor
    target_NL: torch.Tensor
    positions_PS: torch.Tensor

    @classmethod
    def of(cls, attention_mask_NL: torch.Tensor | None) -> Self | None:
        """Return a packing, None where it would gain little, and where the padding is not on the right."""
        if attention_mask_NL is None:
            return None
        N, L = attention_mask_NL.shape
        lengths_N = attention_mask_NL.sum(dim=1)
        right = (attention_mask_NL.bool() == (torch.arange(L, device=lengths_N.device) < lengths_N[:, None])).all()
        *lengths, padded_right = torch.cat((lengths_N, right[None])).tolist()  # one look at the device
        if not padded_right or min(lengths) < 1:
            return None
        starts, rows, width = _laid_out(lengths)
        if rows * width > WORTH * N * L:
            return None
        source, positions = np.zeros((2, rows, width), dtype=np.int64)
        target = np.empty((N, L), dtype=np.int64)
        for number, ((row, first), length) in enumerate(zip(starts, lengths, strict=True)):
            inside = np.arange(length)
            source[row, first : first + length] = number * L + inside
            positions[row, first : first + length] = inside
            target[number] = row * width + first + np.minimum(np.arange(L), length - 1)
        return cls(*(torch.from_numpy(each).to(lengths_N.device) for each in (source, target, positions)))

    def pack(self, x_NL: torch.Tensor) -> torch.Tensor:
        """Turn [N,L,...] into [P,S,...]."""
        return x_NL.flatten(0, 1)[self.source_PS]

    def unpack(self, x_PS: torch.Tensor) -> torch.Tensor:
        """Turn [P,S,...] into [N,L,...]."""
        return x_PS.flatten(0, 1)[self.target_NL]


def _laid_out(lengths: list[int]) -> tuple[list[tuple[int, int]], int, int]:
    """Return (row, first column) of each caption in their order, the number of rows, and how wide they are."""
    wide = max(ROW, *lengths, 1)
    starts, row, filled, width = [], 0, 0, 0
    for length in lengths:
        if filled + length > wide:
            row, filled = row + 1, 0
        starts.append((row, filled))
        filled += length
        width = max(width, filled)
    return starts, row + 1, width
