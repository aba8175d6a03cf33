"""Hold the arrays of one explained caption, by name: what is saved and what is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pseudocap.explain.sinks import find_sinks
from pseudocap.memory import SIGHT


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplanationArrays:
    """Hold where each word of a caption looked, and how far each adapter opened.

    `shares` are attention weights by axis, the mean over the heads, each row of which sums to one: `time` [word,
    adapter, frame], `space` [word, adapter, patch], and whatever else the captioner attends to. The patches stand row
    by row in a `grid` of (height, width). `added` [word, adapter] is what the adapter adds to the stream of the
    decoder, as a share of the stream's norm; `by_video` the same of the part that the video alone makes. `gates` are
    the opened gates by name, [adapter, dimension] or [adapter, 1]. `layers` are the decoder layers that the adapters
    stand before. `frames` uint8 [frame, height, width, 3] are what was watched, at `times` in seconds.

    Of a captioner that hears `by_sound` [word, adapter] is the part that sound makes, and of a file with sound `sound`
    among the shares is of the moments at `sound_times`, under the `spectrogram` uint8 [pitch, column]; None elsewhere.
    """

    source: str
    caption: str
    words: tuple[str, ...]
    layers: tuple[int, ...]
    shares: Mapping[str, np.ndarray]
    grid: tuple[int, int]
    added: np.ndarray
    by_video: np.ndarray
    gates: Mapping[str, np.ndarray]
    frames: np.ndarray
    times: np.ndarray
    by_sound: np.ndarray | None = None
    sound_times: np.ndarray | None = None
    spectrogram: np.ndarray | None = None

    @property
    def time(self) -> np.ndarray:
        """Return the weights of the frames [word, adapter, frame]."""
        return self.shares["time"]

    @property
    def space(self) -> np.ndarray:
        """Return the weights of the patches [word, adapter, patch]."""
        return self.shares["space"]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all of it by name, for np.savez; shares by their axis, gates as `gates.NAME`."""
        named = {
            "source": np.array(self.source),
            "caption": np.array(self.caption),
            "words": np.array(self.words, dtype=np.str_),
            "layers": np.array(self.layers),
            "grid": np.array(self.grid),
        }
        named |= self.shares
        for name in ("added", "by_video", "frames", "times"):
            named[name] = getattr(self, name)
        for name in ("by_sound", "sound_times", "spectrogram"):
            if (values := getattr(self, name)) is not None:
                named[name] = values
        return named | {f"gates.{name}": values for name, values in self.gates.items()}

    def looked(self, word: int, layer: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return weights of frames and of patches [height, width]: of the adapter before a layer, or the mean."""
        time, space = (self._by_word(axis, layer)[word] for axis in SIGHT)
        return time, space.reshape(self.grid)

    def sinks(self, layer: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean share of the frames and of the patches [height, width] that are attention sinks, 0 elsewhere:
        of the adapter before a layer, or of the mean."""
        time, space = (find_sinks(self._by_word(axis, layer)) for axis in SIGHT)
        return time, space.reshape(self.grid)

    def listened(self, word: int, layer: int | None = None) -> np.ndarray:
        """Return the weights of the moments of sound: of the adapter before a layer, or the mean."""
        return self._by_word("sound", layer)[word]

    def sound_sinks(self, layer: int | None = None) -> np.ndarray:
        """Return the mean share of the moments that are attention sinks, 0 elsewhere, as `sinks` does of sight."""
        return find_sinks(self._by_word("sound", layer))

    def _by_word(self, axis: str, layer: int | None) -> np.ndarray:
        adapters = slice(None) if layer is None else [self.layers.index(layer)]
        return self.shares[axis][:, adapters].mean(axis=1)


def heat(weights: np.ndarray) -> np.ndarray:
    """Return 0 where no more than an even share is looked at, 1 at the most; full heat takes four times the even share.

    So attention that is spread evenly shows no picture, however its maximum is scaled.
    """
    even = 1 / weights.size
    return np.clip((weights - even) / (max(float(weights.max()), 4 * even) - even), 0, 1)
