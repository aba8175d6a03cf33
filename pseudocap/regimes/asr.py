"""Train the baseline to beat: on what people say over their videos, as speech recognition heard it.

The same 8-second clips as the pseudolabels, with HowTo100M's transcripts, whose neighbouring segments are joined to
about 8 s. The papers: 4,000 steps at a batch of 1,200; 45 of 100 transcripts refer to the video, 13 are intros or
outros, 42 chit-chat; MSR-VTT validation CIDEr-D 49.0 after fine-tuning.
"""

from __future__ import annotations

from pathlib import Path

import torch

from pseudocap.data.caption_data import CaptionData
from pseudocap.data.corpora.howto100m import read_howto100m
from pseudocap.data.stream_data import StreamData
from pseudocap.regimes.base import PreTraining, refuse_modality
from pseudocap.regimes.table import REGIMES
from pseudocap.types import CLIP_SECONDS, Batch, Preprocess


class AsrBaseline(PreTraining):
    """Learn from transcripts of speech: `TranscriptData(transcripts, videos)`."""

    steps = REGIMES["asr"].steps

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        refuse_modality(batch, "video", "AsrBaseline")
        losses = self.caption_losses(batch, batch_index)
        self.log_losses(losses, batch)
        return losses.total


class TranscriptData(StreamData):
    """Pair HowTo100M's transcripts with its videos, as clips of about `clip_seconds`.

    Args:
        transcripts: caption.json, or a folder of one csv a video; null where `videos` brings its own text
        videos: the folder of the videos; without `transcripts` tars of `pseudocap pack`, or memories of them, that
            `pseudocap label --teacher asr` has captioned with their speech
        clip_seconds: neighbouring segments are joined up to this length
        preprocess: size, colours and frames; by default those of the model
        batch_size: clips of a step on each device
        epoch_steps: batches between two validations: with gradients accumulated a multiple of that number
        seed: of the order, the crops and the moments
        workers: processes that decode
        max_failure_rate: more clips that cannot be decoded than this share stop the run
        validation: a captioned corpus to be scored on along the way
    """

    def __init__(
        self,
        transcripts: str | None,  # jsonargparse would read null as the text "None" if a PathLike were possible
        videos: str | Path,
        *,
        clip_seconds: float = CLIP_SECONDS,
        preprocess: Preprocess | None = None,
        batch_size: int = 16,
        epoch_steps: int = 1000,
        seed: int = 0,
        workers: int = 2,
        max_failure_rate: float = 0.1,
        validation: CaptionData | None = None,
    ) -> None:
        super().__init__(
            videos=videos if transcripts is None else read_howto100m(transcripts, seconds=clip_seconds),
            video_folder=None if transcripts is None else videos,
            preprocess=preprocess,
            batch_size=batch_size,
            epoch_steps=epoch_steps,
            seed=seed,
            workers=workers,
            max_failure_rate=max_failure_rate,
            validation=validation,
        )
