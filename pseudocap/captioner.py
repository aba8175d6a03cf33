"""Caption and explain video files with one class, PseudoCap; what every captioner of files has, FileCaptioner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import torch

from pseudocap.audio.clips import ClipSounds, Windows
from pseudocap.audio.waveform import sound_alone
from pseudocap.decoding import FileDecoding, check_frames
from pseudocap.errors import ConfigError, InputError
from pseudocap.heard_clips import HeardClip, encoder_input
from pseudocap.hub.assembly import AssembledCaptioner
from pseudocap.hub.toys import toy_notice, warn_of_toy
from pseudocap.memory import SOUND, Axis, Memory
from pseudocap.questions import ANSWER_TOKENS, listed
from pseudocap.types import (
    CLIP_SECONDS,
    MAX_NEW_TOKENS,
    MIN_SECONDS,
    Clip,
    Preprocess,
    SoundPreprocess,
    TimedCaption,
)
from pseudocap.video.clips import plan_clips
from pseudocap.video.reader import Frames, VideoInfo
from pseudocap.video.shots import CutDetector
from pseudocap.video.tensors import batched, decode_for_display, read_clips, read_file
from pseudocap.video.transforms import eval_tensor

if TYPE_CHECKING:
    from pseudocap.explain.explanation import Explanation


Seen = TypeVar("Seen")  # a clip as a captioner takes it
DEAF = "this captioner does not hear"
UNTRAINED_EARS = "this captioner has gained its ears and not yet learned to use them: fine-tune it on films with sound"
NO_PICTURES = Frames(pixels=np.zeros((0, 1, 1, 3), np.uint8), times=np.zeros(0), exact=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenFile(Generic[Seen]):
    """Hold a decoded file: what a captioner takes of it, how many of its frames are distinct (0 of a file without
    pictures), and its VideoInfo."""

    seen: Seen
    frames: int
    info: VideoInfo


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

    def sound_of(self, decoding: FileDecoding) -> SoundPreprocess | None:
        """Return the sound of clips that `hear` takes beside their frames; None where they are captioned by sight.
        InputError where that cannot be."""
        if decoding.needs_hearing:
            raise InputError(f"{DEAF}: modalities is {decoding.modalities!r}; leave it out, or name one that does")
        return None

    def require_language(self, decoding: FileDecoding) -> None:
        """Raise InputError where the captioner cannot be asked for the language of the captions."""
        if decoding.language:
            raise InputError(f"language is {decoding.language!r}, and this captioner writes one alone; leave it out")

    def hear(self, frames: Frames, sound: Windows, decoding: FileDecoding) -> Seen:
        """Make of a clip's frames and sound what `caption_clips` takes."""
        raise NotImplementedError

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
        modalities: str | None = None,
        language: str = "",
    ) -> str | list[str]:
        """Return one caption for a file, video or image; a list of captions for a list of files. Each continues the
        `prompt`; it is not part of the caption.

        Frames are spread evenly over the entire file. `top_p` samples, the same captions for the same seed and list.
        `language` of a captioner of several is a code such as "es"; by default the first that it has learned.
        `modalities` of a captioner that hears is "av", "v" or "a", by sound alone; by default it takes what a file has.
        A file that cannot be read raises its DecodeError, and so does one without sound that is captioned by it alone.
        """
        decoding = FileDecoding(
            beams=beams, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed, num_frames=num_frames,
            batch_size=batch_size, prompt=prompt, modalities=modalities, language=language,
        )  # fmt: skip
        files = [video] if isinstance(video, str | Path) else list(video)
        self.sound_of(decoding)  # refused before a file is read, where it cannot be
        self.require_language(decoding)
        captions = []
        for batch in batched((self.take_file(file, decoding).seen for file in files), batch_size):
            captions += self.caption_clips(batch, decoding)
        return captions[0] if isinstance(video, str | Path) else captions

    def ask(
        self,
        video: str | Path,
        question: str | Sequence[str],
        *,
        beams: int = 1,
        max_new_tokens: int = ANSWER_TOKENS,
        num_frames: int | None = None,
        batch_size: int = 8,
        modalities: str | None = None,
    ) -> str | list[str]:
        """Return the answer to a question about a file; a list of answers to a list of questions, for which it is
        decoded and encoded once.

        A captioner answers that has learned to (docs/answering.md). `modalities` are those of `caption`.
        """
        questions = listed(question)
        decoding = FileDecoding(
            beams=beams, max_new_tokens=max_new_tokens, num_frames=num_frames, batch_size=batch_size,
            modalities=modalities,
        )  # fmt: skip
        self.sound_of(decoding)  # refused before a file is read, where it cannot be
        self.require_answers()
        answers = self.answer_clip(self.take_file(video, decoding).seen, questions, decoding)
        return answers[0] if isinstance(question, str) else answers

    def require_answers(self) -> None:
        """Raise InputError where the captioner takes no questions."""

    def answer_clip(self, clip: Seen, questions: Sequence[str], decoding: FileDecoding) -> list[str]:
        """Answer questions about a clip, each the prompt of a caption by default."""
        return [text for asked in questions for text in self.caption_clips([clip], replace(decoding, prompt=asked))]

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
        modalities: str | None = None,
        language: str = "",
    ) -> Iterator[TimedCaption]:
        """Yield a caption for every clip of a long video, as they are made; a batch of clips is in memory at a time.

        With `cuts=cut_detector()` (`pseudocap.video.cut_detectors`) clips lie within the shots of the film. Of a
        truncated file the readable clips are captioned before the DecodeError is raised.
        """
        decoding = FileDecoding(
            beams=beams, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed, num_frames=num_frames,
            batch_size=batch_size, prompt=prompt, modalities=modalities, language=language,
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
        self.sound_of(decoding)
        self.require_language(decoding)
        lengths = {"clip_seconds": clip_seconds, "min_seconds": min_seconds}
        clips = (
            read_clips(video, count, **lengths, cuts=cuts)
            if (heard := _heard_alone(video, decoding)) is None
            else ((clip, NO_PICTURES) for clip in plan_clips(heard.path, heard.duration, **lengths))
        )
        for batch in batched(self._take_clips(video, clips, decoding), decoding.batch_size):
            texts = self.caption_clips([seen for _, seen in batch], decoding)
            for (clip, _), text in zip(batch, texts, strict=True):
                yield TimedCaption(start=clip.start, end=clip.end, text=text)

    def take_file(self, file: str | Path, decoding: FileDecoding) -> TakenFile[Seen]:
        """Decode an entire file for `caption_clips`; DecodeError where it cannot be, or has no sound and is to be
        captioned by that alone."""
        heard = _heard_alone(file, decoding)
        frames, info = (NO_PICTURES, heard) if heard else read_file(file, self.frames_of(decoding.num_frames))
        clip = Clip(source=str(file), start=0.0, end=info.duration)
        _, seen = next(self._take_clips(file, [(clip, frames)], decoding))
        return TakenFile(seen=seen, frames=len(frames), info=info)

    def _take_clips(
        self, file: str | Path, clips: Iterable[tuple[Clip, Frames]], decoding: FileDecoding
    ) -> Iterator[tuple[Clip, Seen]]:
        """Yield clips as `caption_clips` takes them. Their sound is read in one pass over the file."""
        preprocess = self.sound_of(decoding)
        if preprocess is None:
            yield from ((clip, self.prepare(frames)) for clip, frames in clips)
            return
        with ClipSounds(file, preprocess) as sounds:
            for clip, frames in clips:
                heard = sounds.of(clip.start, clip.end, alone=decoding.modalities == "a")
                yield clip, self.prepare(frames) if heard is None else self.hear(frames, heard, decoding)


def _heard_alone(file: str | Path, decoding: FileDecoding) -> VideoInfo | None:
    """Return how long a file without pictures is, where it is captioned by sound alone; None of any other file."""
    seconds = sound_alone(file) if decoding.modalities == "a" else None
    if seconds is None:
        return None
    return VideoInfo(
        path=str(file), codec="", width=0, height=0, fps=None, start=0.0, duration=seconds,
        claimed_duration=None, claimed_frames=None,
    )  # fmt: skip


class PseudoCap(AssembledCaptioner, FileCaptioner[torch.Tensor | HeardClip]):
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

    def sound_of(self, decoding: FileDecoding) -> SoundPreprocess | None:
        if not self.config.hears:
            return super().sound_of(decoding)
        if decoding.modalities == "a" and not self.listens:
            raise InputError(f"modalities is 'a', and {UNTRAINED_EARS}")
        return None if decoding.modalities == "v" else self.config.sound_preprocess

    def require_language(self, decoding: FileDecoding) -> None:
        try:
            self.config.language_prompt(decoding.language)
        except ConfigError as error:
            raise InputError(str(error)) from None

    def learn_languages(self, languages: Sequence[str]) -> None:
        """Record languages that it learns to be asked for, after those that it has."""
        known = self.config.languages
        self.config = replace(self.config, languages=(*known, *(code for code in languages if code not in known)))

    @property
    def listens(self) -> bool:
        """Return whether any adapter takes something of the sound: none does before gained ears have learned."""
        mixed = [adapter.mixed() for adapter in self.adapters.values()]
        return not any(mixed) or any(each.get(axis) for each in mixed for axis in SOUND)

    def hear(self, frames: Frames, sound: Windows, decoding: FileDecoding) -> HeardClip:
        return HeardClip.of(None if decoding.modalities == "a" else self.prepare(frames), sound)

    def caption_clips(self, clips: Sequence[torch.Tensor | HeardClip], decoding: FileDecoding) -> list[str]:
        warn_of_toy(self.toy_notice)
        memory = self.encode_clips(clips)
        prompt = f"{self.config.language_prompt(decoding.language)} {decoding.prompt}".strip()
        return self.describe(memory, prompt=prompt, finish=decoding.finish, **decoding.generate_options())

    def answer_clip(
        self, clip: torch.Tensor | HeardClip, questions: Sequence[str], decoding: FileDecoding
    ) -> list[str]:
        warn_of_toy(self.toy_notice)
        memory, options = self.encode_clips([clip]), decoding.generate_options()
        answers = []
        for some in batched(questions, decoding.batch_size):
            answers += self.describe(memory[torch.zeros(len(some), dtype=torch.long)], prompt=some, **options)
        return answers

    def encode_clips(self, clips: Sequence[torch.Tensor | HeardClip]) -> Memory:
        """Encode clips of any lengths, frames [T,3,H,W] each or with their sound; either all have frames or none."""
        return self.encode(**encoder_input(clips))

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
        modalities: str | None = None,
    ) -> Explanation:
        """Explain which frames and patches each word looked at, adapter by adapter, and how far each adapter opened; of
        a captioner that hears also which moments of sound each word listened to.

        The caption is the one that `model.caption` gives with the same options, or the `caption` that is given: where
        would these words have looked? `.save("why.png")` draws it, `.save("why.npz")` stores the arrays.
        """
        from pseudocap.explain.explanation import explain_ids  # captioning needs none of it
        from pseudocap.explain.strip import strip_of

        warn_of_toy(self.toy_notice, stacklevel=3)
        decoding = FileDecoding(
            beams=beams, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed, modalities=modalities
        )
        preprocess = self.sound_of(decoding)
        decoded = decode_for_display(video, self.preprocess_for(num_frames))
        heard, strip = None, None
        if preprocess is not None:
            with ClipSounds(video, preprocess) as sounds:
                heard = sounds.of(0.0, decoded.duration, alone=modalities == "a")
        memory = self.encode(decoded.frames[None])
        if preprocess is not None and heard is not None:
            sound = self.encode_clips([HeardClip.of(None, heard)])
            strip = strip_of(heard, preprocess, sound.axes["sound"].mask[0].numpy(force=True), end=decoded.duration)
            sight = {name: Axis(axis.vectors, axis.mask & (modalities != "a")) for name, axis in memory.axes.items()}
            memory = Memory({**sight, **sound.axes}, memory.patches)
        given = None if caption is None else self.tokenize([caption]).input_ids
        ids = self.generate(memory, **decoding.generate_options()) if given is None else given
        return explain_ids(self, self.tokenizer, ids[0], memory, sight=decoded, source=str(video), sound=strip)

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
