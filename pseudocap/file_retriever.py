"""Define every retriever of files: what embeds texts, films and images in one space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

import torch

from pseudocap.audio.clips import Windows, read_windows
from pseudocap.types import Preprocess, SoundPreprocess
from pseudocap.video.reader import Frames
from pseudocap.video.tensors import batched, read_file

Prepared = TypeVar("Prepared")  # a clip as a retriever takes it


class FileRetriever(ABC, Generic[Prepared]):
    """Embed texts, files and clips: float32 vectors [N,D] of length one, on the CPU.

    How many frames of a clip are decoded, what is made of them, and the vectors of a batch are the retriever's own.
    """

    @property
    @abstractmethod
    def identity(self) -> str:
        """Return a hash of everything that the vectors depend on: vectors of another identity are not comparable."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Return D, the number of values in a vector."""

    @abstractmethod
    def frames_of(self, num_frames: int | None) -> int:
        """Return how many frames of a clip are decoded; `num_frames` goes before the retriever's own number."""

    @abstractmethod
    def prepare(self, frames: Frames) -> Prepared:
        """Make of a clip's frames what `embed_clips` takes; a still clip has one."""

    @abstractmethod
    def embed_clips(self, clips: Sequence[Prepared]) -> torch.Tensor:
        """Embed clips of any lengths as one batch."""

    @abstractmethod
    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed texts. InputError names an empty one."""

    @property
    def reads_text(self) -> bool:
        """Return whether there is a text tower; without one clips are compared with clips alone."""
        return True

    @property
    def compares_vectors(self) -> bool:
        """Return whether `similarity` is the dot product of a text's vector and a file's, and nothing else."""
        return True

    @property
    def crop(self) -> Preprocess | None:
        """Return whose crop of a frame is all that `prepare` uses of it; None where it may use every pixel."""
        return None

    @property
    def sound(self) -> SoundPreprocess | None:
        """Return the sound of a clip that `hear` takes; None where clips are seen alone."""
        return None

    def hear(self, frames: Frames, sound: Windows) -> Prepared:
        """Make of a clip's frames and sound what `embed_clips` takes."""
        raise NotImplementedError

    def take(self, frames: Frames, heard: Windows | None) -> Prepared:
        """Make of a clip what `embed_clips` takes, with its sound where the file has some."""
        return self.prepare(frames) if heard is None else self.hear(frames, heard)

    def decode(
        self, file: str | Path, *, num_frames: int | None = None, start: float = 0.0, end: float | None = None
    ) -> Prepared:
        """Decode a file, or these seconds of it, into what `embed_clips` takes."""
        frames, info = read_file(file, self.frames_of(num_frames), start=start, end=end)
        end = info.duration if end is None else end
        return self.take(frames, None if self.sound is None else read_windows(file, self.sound, start=start, end=end))

    def embed_video(
        self, video: str | Path | Sequence[str | Path], *, num_frames: int | None = None, batch_size: int = 8
    ) -> torch.Tensor:
        """Embed a file, video or image, or each of a list of files; frames are spread evenly over the entire file."""
        files = [video] if isinstance(video, str | Path) else list(video)
        seen = (self.decode(file, num_frames=num_frames) for file in files)
        vectors = [self.embed_clips(batch) for batch in batched(seen, batch_size)]
        return torch.cat(vectors) if vectors else torch.zeros(0, self.dim)

    def similarity(
        self,
        texts: Sequence[str],
        files: Sequence[str | Path],
        *,
        num_frames: int | None = None,
        batch_size: int = 8,
    ) -> torch.Tensor:
        """Return how similar each text is to each file [A,B]."""
        return self.embed_text(texts) @ self.embed_video(files, num_frames=num_frames, batch_size=batch_size).T
