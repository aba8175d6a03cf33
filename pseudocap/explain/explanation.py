"""Explain one caption of one file: a value of named arrays that can be saved and drawn.

A word is chosen at the token before it, so what a word attends to is what the adapters attend to there; of a word of
several tokens it is the mean. docs/explain.md: how to read it, and what it does not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from pseudocap.errors import InputError
from pseudocap.explain.arrays import ExplanationArrays
from pseudocap.explain.looking import look
from pseudocap.explain.strip import SoundStrip
from pseudocap.explain.words import Word, split_words
from pseudocap.files.atomic import unfinished
from pseudocap.memory import SIGHT, Memory
from pseudocap.model.network import CaptionNetwork
from pseudocap.video.tensors import FileFrames

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation(ExplanationArrays):
    """Hold the arrays of an explained caption, to be drawn and saved."""

    def figure(self, *, layer: int | None = None) -> Figure:
        """Draw heat over the frame that each word looked at most, frames as bars below; the mean over adapters, or the
        adapter before one `layer`."""
        from pseudocap.explain.figure import draw_explanation

        if not {*SIGHT} <= {*self.shares}:
            raise InputError(f"a figure shows time and space, and this captioner attends to {', '.join(self.shares)}")
        if layer is not None and layer not in self.layers:
            there = ", ".join(map(str, self.layers))
            raise InputError(f"layer is {layer}, and no adapter stands before it; adapters stand before layers {there}")
        return draw_explanation(self, layer=layer)

    def save(self, path: str | Path, *, layer: int | None = None) -> None:
        """Save the arrays as .npz, or the figure as .png, .pdf or .svg; a file that is there is replaced."""
        from pseudocap.explain.figure import save_figure

        path = Path(path)
        if path.suffix == ".npz":
            with unfinished(path) as scratch, scratch.open("wb") as file:
                np.savez_compressed(file, **self.arrays())  # type: ignore[arg-type]
        else:
            save_figure(self.figure(layer=layer), path)


def explain_ids(
    network: CaptionNetwork,
    tokenizer: PreTrainedTokenizerBase,
    ids: torch.Tensor,
    memory: Memory,
    *,
    sight: FileFrames,
    source: str,
    sound: SoundStrip | None = None,
) -> Explanation:
    """Explain a finished caption of one video, `</s>` and its tokens [L], by reading it once more."""
    tokens = ids[1:].tolist()  # a closing `</s>` among them has no text, so it belongs to no word
    words = split_words(tokens, tokenizer)
    looks = look(network, ids[None], memory)
    names = [adapter.gates() for adapter in network.adapters.values()]
    shares = {axis: _by_word([each.shares[axis] for each in looks], words) for axis in looks[0].shares}
    if sound is not None:
        shares["sound"] = shares["sound"][..., memory.axes["sound"].mask[0].numpy(force=True)]
    heard = [each.by_sound_NL for each in looks if each.by_sound_NL is not None]
    return Explanation(
        source=source,
        caption=tokenizer.decode(tokens, skip_special_tokens=True).strip(),
        words=tuple(word.text for word in words),
        layers=tuple(each.layer for each in looks),
        shares=shares,
        grid=network.encoder.grid(*sight.frames.shape[-2:]),
        added=_by_word([each.added_NL for each in looks], words),
        by_video=_by_word([each.by_video_NL for each in looks], words),
        gates={name: torch.stack([gates[name] for gates in names]).float().numpy(force=True) for name in names[0]},
        frames=sight.pixels,
        times=sight.times,
        by_sound=_by_word(heard, words) if heard else None,
        sound_times=None if sound is None else sound.times,
        spectrogram=None if sound is None else sound.spectrogram,
    )


def _by_word(measured: Sequence[torch.Tensor], words: Sequence[Word]) -> np.ndarray:
    """Gather [word, adapter, ...] from each adapter's [1, token, ...]; token k is chosen one position before itself."""
    tokens = torch.stack([each[0] for each in measured], dim=1).cpu()  # [token, adapter, ...]
    rows = [tokens[list(word.tokens)].mean(dim=0) for word in words]
    return (torch.stack(rows) if rows else tokens[:0]).numpy()
