"""List the regimes as rows: name, class, and what each learns from. Nothing here imports torch."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
STEPS = 4_000  # of pre-training in the papers, all regimes but the extended one
SCALES = ("toy", "paper")  # of the configs that the package ships for each pre-training regime
STREAM_OPTIONS = {"images": "--data.images", "clips": "--data.videos", "asr": "--data.videos"}
STREAMS, TRANSCRIPTS = "pseudocap.data.stream_data:StreamData", "pseudocap.regimes.asr:TranscriptData"
CAPTIONS = "pseudocap.data.caption_data:CaptionData"
BOTH = ("images", "clips")
LAST, BASELINE = "checkpoints/last.ckpt", "baseline.json"  # in a run's folder; the second in that of a fine-tuning
TOO_FEW_TO_VALIDATE = (
    "validation needs at least two videos, or the score that decides when to stop cannot be computed: hold "
    "out a larger share (--val-share), add videos, or mark some with split 'val'"
)
UNTRAINED = "none"  # in comparisons: fine-tuning that starts from new adapters


@dataclass(frozen=True, slots=True)
class RegimeRow:
    """Hold a regime. `steps` is the papers' length; `claimed` their CIDEr-D on MSR-VTT validation after fine-tuning."""

    name: str  # on the command line and in checkpoints.yaml; its module in pseudocap.regimes has underscores
    class_name: str  # in pseudocap.regimes, and in results.json
    learns_from: str
    streams: tuple[str, ...] = ()  # images, clips (pseudolabelled) or asr (clips with their speech)
    data: str = STREAMS
    steps: int = STEPS
    claimed: float | None = None
    learner: str = "captioner"

    def load(self) -> Any:
        """Import the LightningModule."""
        return pkgutil.resolve_name(f"pseudocap.regimes.{self.name.replace('-', '_')}:{self.class_name}")

    def load_data(self) -> Any:
        """Import its data module."""
        return pkgutil.resolve_name(self.data)

    def data_words(self, sources: Mapping[str, str]) -> tuple[str, ...]:
        """Return its data as options of `pseudocap train`: tars or memories by stream; left out where not given."""
        given = [stream for stream in self.streams if stream in sources]
        words = [word for stream in given for word in (STREAM_OPTIONS[stream], sources[stream])]
        return (*(("--data.transcripts", "null") if "asr" in self.streams else ()), *words)

    def configs(self) -> dict[str, Path]:
        """Return the configs that the package ships for this regime, by scale."""
        paths = {scale: CONFIGS / f"{self.name}-{scale}.yaml" for scale in SCALES}
        return {scale: path for scale, path in paths.items() if path.is_file()}


_CLIPS = "an image captioner's captions of the centre frames of clips"
_PRE_TRAINING = (
    RegimeRow(
        "asr",
        "AsrBaseline",
        "speech (`asr`): what is said in the clips, as transcribed",
        ("asr",),
        TRANSCRIPTS,
        claimed=49.0,
    ),
    RegimeRow(
        "image-only",
        "ImageOnly",
        "images with alt text (`image-only`), each a video of one frame",
        ("images",),
        claimed=49.6,
    ),
    RegimeRow("video-only", "VideoOnly", f"pseudolabelled video (`video-only`): {_CLIPS}", ("clips",), claimed=49.7),
    RegimeRow("mixed", "Mixed", "images with alt text and pseudolabelled video (`mixed`)", BOTH, claimed=54.0),
    RegimeRow(
        "mixed-ext",
        "MixedExtended",
        "images with alt text and pseudolabelled video, for longer (`mixed-ext`)",
        BOTH,
        steps=40_000,
        claimed=54.6,
    ),
)
REGIMES = {row.name: row for row in _PRE_TRAINING}
ASR, IMAGE_ONLY, VIDEO_ONLY, MIXED, MIXED_EXT = REGIMES  # their names
FINE_TUNING = RegimeRow("finetune", "FineTune", "captions written by people (fine-tuning)", data=CAPTIONS, steps=0)
SELF_CRITICAL = RegimeRow(
    "self-critical",
    "SelfCritical",
    "its own captions, by how well they agree with those by people (`self-critical`)",
    BOTH,
    steps=1_000,
)
RETRIEVAL = RegimeRow(
    "retrieval",
    "Retrieval",
    "captions and their clips, among all others (`retrieval`)",
    BOTH,
    steps=15_156,  # four epochs of VideoCC3M's 970,000 captions
    learner="retriever",
)
VALOR = RegimeRow(
    "valor",
    "Valor",
    "captions and what is seen and heard, aligned and described (`valor`)",
    BOTH,
    steps=200_000,
    learner="model",
)
ANSWERING = RegimeRow(
    "answering",
    "Answering",
    "questions about videos and their answers (`answering`)",
    data=CAPTIONS,
    steps=20_000,  # ours: the paper gives no length
)
TRAINABLE = REGIMES | {
    row.name: row for row in (SELF_CRITICAL, RETRIEVAL, VALOR, ANSWERING)
}  # by `pseudocap train`; REGIMES are those that are compared
BY_CLASS = {row.class_name: row for row in (*_PRE_TRAINING, FINE_TUNING, SELF_CRITICAL, RETRIEVAL, VALOR, ANSWERING)}


def resume_words(run: Path) -> tuple[str, ...]:
    """Return what a training in this folder is to be run with: `--resume` where it has saved a checkpoint."""
    return ("--resume",) if (run / LAST).is_file() else ()
