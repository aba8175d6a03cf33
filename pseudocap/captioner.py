"""Caption and explain video files with one class, PseudoCap; what every captioner of files has, FileCaptioner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

from pseudocap.decoding import Decoding, FileDecoding, check_frames
from pseudocap.hub.assembly import AssembledCaptioner
from pseudocap.hub.toys import toy_notice, warn_of_toy
from pseudocap.types import CLIP_SECONDS, MAX_NEW_TOKENS, MIN_SECONDS, Preprocess, TimedCaption
from pseudocap.video.reader import Frames
from pseudocap.video.shots import CutDetector
from pseudocap.video.tensors import batched, decode_for_display, pad_clips, read_clips, read_file
from pseudocap.video.transforms import eval_tensor

if TYPE_CHECKING:
    from pseudocap.explain.explanation import Explanation


Seen = TypeVar("Seen")  # a clip as a captioner takes it


class FileCaptioner(ABC, Generic[Seen]):
    """Caption files and long videos: how many frames of a clip are decoded, what is made of them, and the captions of a
    batch of clips are the captioner's own."""

    @abstractmethod
    def frames_of(self, num_frames: int | None) -> int:
        """Return how many frames of a clip are decoded; `num_frames` goes before the captioner's own number."""

    @abstractmethod
    def prepare(self, frames: Frames) -> Seen:
        """Make of a clip's frames what `caption_clips` takes; a still clip has one."""

    @abstractmethod
    def caption_clips(self, clips: Sequence[Seen], decoding: FileDecoding) -> list[str]:
        """Caption clips of any lengths as one batch."""

    @property
    def crop(self) -> Preprocess | None:
        """Return whose crop of a frame is all that `prepare` uses of it; None where it may use every pixel."""
        return None

    @property
    @abstractmethod
    def toy_notice(self) -> str:
        """Return the line that must stand beside the captions of a toy captioner; nothing of any other."""

    def caption(
        self,
        video: str | Path | Sequence[str | Path],
        *,
        beams: int = 1,
        top_p: float | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        seed: int | None = None,
        num_frames: int | None = None,
        batch_size: int = 8,
        prompt: str = "",
    ) -> str | list[str]:
        """Return one caption for a file, video or image; a list of captions for a list of files. Each continues the
        `prompt`; it is not part of the caption.

        Frames are spread evenly over the entire file. `top_p` samples, the same captions for the same seed and list.
        A file that cannot be read raises its DecodeError.
        """
        decoding = FileDecoding(
            beams=beams, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed, num_frames=num_frames,
            batch_size=batch_size, prompt=prompt,
        )  # fmt: skip
        files = [video] if isinstance(video, str | Path) else list(video)
        count = self.frames_of(num_frames)
        captions = []
        for batch in batched((self.prepare(read_file(file, count)[0]) for file in files), batch_size):
            captions += self.caption_clips(batch, decoding)
        return captions[0] if isinstance(video, str | Path) else captions

    def caption_long(
        self,
        video: str | Path,
        *,
        clip_seconds: float = CLIP_SECONDS,
        min_seconds: float = MIN_SECONDS,
        beams: int = 1,
        top_p: float | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        seed: int | None = None,
        num_frames: int | None = None,
        batch_size: int = 8,
        prompt: str = "",
        cuts: CutDetector | None = None,
    ) -> Iterator[TimedCaption]:
        """Yield a caption for every clip of a long video, as they are made; a batch of clips is in memory at a time.

        With `cuts=cut_detector()` (`pseudocap.video.cut_detectors`) clips lie within the shots of the film. Of a
        truncated file the readable clips are captioned before the DecodeError is raised.
        """
        decoding = FileDecoding(
            beams=beams, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed, num_frames=num_frames,
            batch_size=batch_size, prompt=prompt,
        )  # fmt: skip
        return self.caption_every_clip(video, decoding, clip_seconds=clip_seconds, min_seconds=min_seconds, cuts=cuts)

    def caption_every_clip(
        self,
        video: str | Path,
        decoding: FileDecoding,
        *,
        clip_seconds: float,
        min_seconds: float,
        cuts: CutDetector | None = None,
    ) -> Iterator[TimedCaption]:
        """Yield what `caption_long` does, for options that are one value already."""
        count = self.frames_of(decoding.num_frames)
        clips = read_clips(video, count, clip_seconds=clip_seconds, min_seconds=min_seconds, cuts=cuts)
        for batch in batched(((clip, self.prepare(frames)) for clip, frames in clips), decoding.batch_size):
            texts = self.caption_clips([seen for _, seen in batch], decoding)
            for (clip, _), text in zip(batch, texts, strict=True):
                yield TimedCaption(start=clip.start, end=clip.end, text=text)


class PseudoCap(AssembledCaptioner, FileCaptioner[torch.Tensor]):
    """Caption videos and images. Only its adapters learn (`trainable_names`), and only they are saved.

    What it is made of and how it is saved is in hub/assembly.py, its text in model/text_network.py, the network itself
    in model/network.py.
    """

    def frames_of(self, num_frames: int | None) -> int:
        return self.preprocess_for(num_frames).frames

    def prepare(self, frames: Frames) -> torch.Tensor:
        """Return the clip [T,3,H,W], normalised."""
        return eval_tensor(frames.pixels, self.config.preprocess)

    @property
    def crop(self) -> Preprocess:
        return self.config.preprocess

    def caption_clips(self, clips: Sequence[torch.Tensor], decoding: FileDecoding) -> list[str]:
        warn_of_toy(self.toy_notice)
        memory = self.encode(*pad_clips(clips))
        return self.describe(memory, prompt=decoding.prompt, finish=decoding.finish, **decoding.generate_options())

    def explain(
        self,
        video: str | Path,
        *,
        caption: str | None = None,
        beams: int = 1,
        top_p: float | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        seed: int | None = None,
        num_frames: int | None = None,
    ) -> Explanation:
        """Explain which frames and patches each word looked at, adapter by adapter, and how far each adapter opened.

        The caption is the one that `model.caption` gives with the same options, or the `caption` that is given: where
        would these words have looked? `.save("why.png")` draws it, `.save("why.npz")` stores the arrays.
        """
        from pseudocap.explain.explanation import explain_ids  # captioning needs none of it

        warn_of_toy(self.toy_notice, stacklevel=3)
        decoding = Decoding(beams=beams, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed)
        decoded = decode_for_display(video, self.preprocess_for(num_frames))
        memory = self.encode(decoded.frames[None])
        given = None if caption is None else self.tokenize([caption]).input_ids
        ids = self.generate(memory, **decoding.generate_options()) if given is None else given
        return explain_ids(self, self.tokenizer, ids[0], memory, sight=decoded, source=str(video))

    @property
    def toy_notice(self) -> str:
        name = "this captioner" if self.origin is None else self.origin.public_name or self.origin.source
        return toy_notice(name, self.config)

    def preprocess_for(self, num_frames: int | None) -> Preprocess:
        """Return the checkpoint's own preprocessing, with another number of frames where one is given."""
        check_frames(num_frames)
        if num_frames is None:
            return self.config.preprocess
        return replace(self.config.preprocess, frames=num_frames)
