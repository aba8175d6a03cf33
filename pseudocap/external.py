"""Load any captioner by its name: a PseudoCap, or an image-text or video-text model of transformers, which captions
files and long videos as a PseudoCap does.

What such a model sees of a clip is one of

- `centre`: the frame at its centre;
- `consensus`: several frames, each captioned by itself; the caption that agrees most with the others is the clip's;
- `video`: several frames as one video, for models that take one, and their default.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from pseudocap.captioner import FileCaptioner, PseudoCap
from pseudocap.decoding import FileDecoding, strip_unfinished
from pseudocap.errors import ConfigError, InputError
from pseudocap.hub.checkpoint import is_valor
from pseudocap.hub.external import External, find_external, refuse_frames
from pseudocap.hub.fetch import Fetched, fetch
from pseudocap.hub.toys import toy_notice, warn_of_toy
from pseudocap.label.consensus import agreements, medoid_first
from pseudocap.label.teachers.base import Answer
from pseudocap.label.teachers.image_text import ImageTextModel
from pseudocap.model.device import pick_device
from pseudocap.model.precision import FULL_PRECISION
from pseudocap.types import EXTERNAL_FRAMES, PRECISIONS
from pseudocap.valor import ValorModel
from pseudocap.video.reader import Frames
from pseudocap.video.tensors import batched

CENTRE, CONSENSUS, VIDEO = EXTERNAL_FRAMES
VOTES = 5  # frames of `consensus`
QUESTIONS = {  # of kinds of models without a chat template, how their published weights are asked
    "git": "{}", "blip-2": "Question: {} Answer:", "instructblip": "{}",
}  # fmt: skip


def load(
    name: str | Path | Fetched | External,
    *,
    revision: str | None = None,
    checkpoints: str | Path | None = None,
    frames: str | None = None,
    device: str = "auto",
    precision: str = FULL_PRECISION,
) -> AnyCaptioner:
    """Load a captioner: a row of checkpoints.yaml, a directory, a repo of the hub (`owner/repo@revision`) or an address
    of ours; or what has been found already. `frames` (centre, consensus, video) is for models of transformers."""
    if frames not in (None, *EXTERNAL_FRAMES):
        raise ConfigError(f"frames is {frames!r} and must be one of {', '.join(EXTERNAL_FRAMES)}")
    found: Fetched | External
    if isinstance(name, str | Path):
        external = find_external(name, revision=revision, checkpoints=checkpoints)
        found = external or fetch(name, revision=revision, checkpoints=checkpoints)
    else:
        found = name
    if not isinstance(found, External):
        refuse_frames(frames, name if isinstance(name, str | Path) else name.source)
        if is_valor(found):
            if precision != FULL_PRECISION:
                raise ConfigError(f"precision is {precision}, and a VALOR computes in {FULL_PRECISION} alone")
            return ValorModel.from_pretrained(found, device=device)
        return PseudoCap.from_pretrained(found, device=device, precision=precision)
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r} and must be one of {', '.join(PRECISIONS)}")
    if precision == "int4":
        raise ConfigError(f"precision is int4, which is for captioners of ours; {found.source} is none: name another")
    target = str(pick_device(device))
    return ExternalCaptioner(
        ImageTextModel(found.source, revision=found.revision, device=target, dtype=precision), frames=frames
    )


class ExternalCaptioner(FileCaptioner[Frames]):
    """Caption files with an image-text model. A prompt is what a caption continues; a chat-style model is asked it."""

    def __init__(self, model: ImageTextModel, *, frames: str | None = None) -> None:
        if frames == VIDEO and not model.video_frames:
            raise ConfigError(f"frames is video, and {model.name} takes pictures alone: name centre or consensus")
        self.model = model
        self.frames = frames or (VIDEO if model.video_frames else CENTRE)

    def frames_of(self, num_frames: int | None) -> int:
        if num_frames is None:
            return {CENTRE: 1, CONSENSUS: VOTES, VIDEO: self.model.video_frames}[self.frames]
        if (self.frames == CENTRE and num_frames > 1) or (self.frames == CONSENSUS and num_frames < 2):
            other = CONSENSUS if self.frames == CENTRE else CENTRE
            raise InputError(f"num_frames is {num_frames}, and frames is {self.frames}: frames {other} takes as many")
        if self.frames == VIDEO and (most := self.model.most_frames) is not None and num_frames > most:
            raise InputError(f"num_frames is {num_frames}, and {self.model.name} has embeddings for {most}")
        return num_frames

    def prepare(self, frames: Frames) -> Frames:
        """Leave frames as they are decoded: the model's own processor resizes them."""
        return frames

    @property
    def toy_notice(self) -> str:
        return toy_notice(self.model.name, self.model.name)

    def require_answers(self) -> None:
        kind = self.model.kind
        if not self.model.is_chat and kind not in QUESTIONS:
            raise InputError(
                f"{self.model.name} is a {kind}, which answers no questions: name a chat-style model, one of "
                f"{', '.join(QUESTIONS)}, or a captioner that has learned to answer"
            )

    def answer_clip(self, clip: Frames, questions: Sequence[str], decoding: FileDecoding) -> list[str]:
        framed = "{}" if self.model.is_chat else QUESTIONS[self.model.kind]
        return super().answer_clip(clip, [framed.format(each) for each in questions], decoding)

    def caption_clips(self, clips: Sequence[Frames], decoding: FileDecoding) -> list[str]:
        warn_of_toy(self.toy_notice)
        if self.frames == CENTRE:
            return self._caption([clip.pixels[len(clip) // 2] for clip in clips], decoding)
        if self.frames == CONSENSUS:
            texts = iter(self._caption([image for clip in clips for image in clip.pixels], decoding))
            return [most_agreed(list(islice(texts, len(clip)))) for clip in clips]
        return self._caption_videos(clips, decoding)

    def _caption_videos(self, clips: Sequence[Frames], decoding: FileDecoding) -> list[str]:
        """Caption clips of as many frames together, and a still clip as the picture that it is."""
        texts: dict[int, str] = {}
        for length in sorted({len(clip) for clip in clips}):
            rows = [row for row, clip in enumerate(clips) if len(clip) == length]
            some = [clips[row] for row in rows]
            if length == 1 and self.model.is_chat:
                found = self._caption([clip.pixels[0] for clip in some], decoding)
            else:
                repeats = (self.model.most_frames or 1) if length == 1 else 1  # those that have learned from videos
                found = self._caption(
                    [clip.pixels.repeat(repeats, 0) for clip in some], decoding, list(map(rate, some))
                )
            texts |= zip(rows, found, strict=True)
        return [texts[row] for row in range(len(clips))]

    def _caption(
        self, clips: Sequence[np.ndarray], decoding: FileDecoding, fps: Sequence[float] | None = None
    ) -> list[str]:
        """Caption pictures, or with `fps` videos, a batch at a time."""
        generator = None if decoding.seed is None else torch.Generator().manual_seed(decoding.seed)
        keys = torch.randint(2**62, (len(clips),), generator=generator).tolist()
        texts: list[str] = []
        for rows in batched(range(len(clips)), decoding.batch_size):
            answers = self.model.answer(
                [clips[row] for row in rows],
                decoding,
                keys=[keys[row] for row in rows],
                prompt=decoding.prompt,
                fps=None if fps is None else [fps[row] for row in rows],
            )
            texts += [_finished(each) if decoding.finish else each.captions[0] for each in answers]
        return texts


AnyCaptioner = PseudoCap | ValorModel | ExternalCaptioner


def _finished(answer: Answer) -> str:
    return strip_unfinished(answer.captions[0]) if answer.cut else answer.captions[0]


def rate(clip: Frames) -> float:
    """Return how many of its frames a clip has in a second; of a still one, one."""
    seconds = float(clip.times[-1] - clip.times[0])
    return (len(clip) - 1) / seconds if seconds > 0 else 1.0


def most_agreed(captions: list[str]) -> str:
    """Return the caption that agrees most with the others (ROUGE-L): of one clip alone, so that no neighbour counts."""
    return captions[medoid_first(agreements({0: captions})[0])[0]] if len(captions) > 1 else captions[0]
