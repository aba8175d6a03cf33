"""Define the values that travel between the stages."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from pseudocap.errors import ConfigError
from pseudocap.memory import VideoMemory as VideoMemory  # where it was up to version 0.1

if TYPE_CHECKING:
    import torch

    from pseudocap.memory import Memory

Modality = Literal["image", "video"]
Progress = Callable[[int, int], None]  # called with how many are done, and how many there are
StageProgress = Callable[[str, int, int], None]  # the same of a named stage; a total of 0 is not known yet

# Extensions of videos in a folder, in the order of preference where it holds the same video twice.
VIDEO_EXTENSIONS = (
    *(".mp4", ".webm", ".mkv", ".avi", ".mov", ".m4v", ".gif", ".mpg", ".mpeg"),
    *(".ts", ".flv", ".wmv", ".3gp", ".ogv"),
)
SOUND_EXTENSIONS = (".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus", ".wma", ".aiff")
MEDIA_EXTENSIONS = (*VIDEO_EXTENSIONS, *SOUND_EXTENSIONS)  # of whatever may be heard
IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MAX_FRAMES = 96  # of a clip, for which the encoder's positions are made
MOST_WINDOWS = 12  # of an audio encoder, that are heard of a clip
MAX_NEW_TOKENS = 32  # of a caption, unless more are requested
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})  # of this machine, in the Host of a request
CLIP_SECONDS, MIN_SECONDS = 8.0, 1.0  # of a clip, and of the rest of a video that is a clip all the same
EXTERNAL_FRAMES = ("centre", "consensus", "video")  # what an image-text model sees of a clip: pseudocap/external.py
AUDIO_MODELS = (  # that an audio encoder may be
    "an AST, a Whisper, or a model of the waveform such as wav2vec 2.0, HuBERT and WavLM (a directory or a repo of the "
    "hub); shipped are pseudocap://toy-ast and pseudocap://spectrogram"
)
PRECISIONS = ("float32", "bfloat16", "float16", "int8", "int4")  # of frozen weights: pseudocap/model/precision.py


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedCaption:
    """Caption a stretch of a video, in seconds from its first presented frame; or hold its speech, a Segment."""

    start: float
    end: float
    text: str


Segment = TimedCaption  # of a transcript, as the recogniser gave it


@dataclass(frozen=True, kw_only=True, slots=True)
class FileCaptions:
    """Hold the captions of a file, and its error. A truncated file has both. A still lasts no time."""

    file: str
    captions: tuple[TimedCaption, ...] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """Describe a checkpoint's input: `frames` square frames of `size` pixels, normalised by `mean` and `std`."""

    size: int = 224
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    frames: int = 8

    def __post_init__(self) -> None:
        for name in ("size", "frames"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"preprocess.{name} must be a whole number above 0, not {value!r}")
        for name in ("mean", "std"):
            given = getattr(self, name)
            try:
                values = tuple(float(value) for value in given)
            except (TypeError, ValueError):
                values = ()
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise ConfigError(f"preprocess.{name} must be three numbers, one per colour, not {given!r}")
            object.__setattr__(self, name, values)
        if min(self.std) <= 0:
            raise ConfigError(f"preprocess.std divides the pixels, so it must be above 0, not {self.std!r}")


SoundFeatures = Literal["kaldi", "whisper", "waveform"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundPreprocess:
    """Describe the sound that an audio encoder takes: windows of `frames` frames with `bins` values each.

    `features` are Kaldi's log-mel (AST, VALOR, VideoCC), Whisper's, or the waveform itself, whose frames are samples.
    `window` and `hop` count samples at `rate`. Values become (value - mean) / (2 std), as AudioSet's recipe has it; a
    waveform without `mean` is standardised by its own. Whisper's have a normalisation of their own. `moments` is how
    many vectors a second the encoder pools to.
    """

    features: SoundFeatures = "kaldi"
    rate: int = 16000
    bins: int = 128
    frames: int = 1024
    window: int = 400
    hop: int = 160
    window_function: Literal["hann", "hamming"] = "hann"
    mean: float | None = -4.2677393
    std: float = 4.5689974
    moments: float = 4.0

    def __post_init__(self) -> None:
        for name in ("rate", "bins", "frames", "window", "hop"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"sound_preprocess.{name} must be a whole number above 0, not {value!r}")
        for name, known in (("features", get_args(SoundFeatures)), ("window_function", ("hann", "hamming"))):
            if getattr(self, name) not in known:
                raise ConfigError(f"sound_preprocess.{name} must be one of {known}, not {getattr(self, name)!r}")
        for name in ("std", "moments"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ConfigError(f"sound_preprocess.{name} must be a number above 0, not {value!r}")
        if self.mean is None and self.features == "kaldi":
            raise ConfigError("sound_preprocess.mean is needed for log-mel features; only a waveform has its own")
        if not (self.mean is None or (isinstance(self.mean, int | float) and math.isfinite(self.mean))):
            raise ConfigError(f"sound_preprocess.mean must be a number, not {self.mean!r}")

    @property
    def seconds(self) -> float:
        """Return how long a window is."""
        return self.frames * self.hop / self.rate


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """Hold a stretch of a video file, in seconds from its first presented frame."""

    source: str
    start: float
    end: float

    @property
    def centre(self) -> float:
        """Return the time of the one frame that a teacher labels."""
        return (self.start + self.end) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Record where a corpus cut a clip from: a page, and seconds of the video there."""

    url: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Pseudolabel:
    """Hold a teacher's captions of a clip, and everything that is needed to make them again.

    A label that `failed` has no caption and an `error`. `verdicts` are the filters' objections; a label without any is
    `kept`. `frame_times` are the moments of the frames that the teacher got, `log_probs` of complete captions as the
    model itself weighs them, and `confidence` lies between 0 and 1, None where the teacher has no opinion. `run` names
    the run that made it, which distinguishes the rows that a later run carried over. `parent` is the identity of
    the row or picture that it was made from (`pseudocap.label.schema.identity`), `language` a code such as "es".
    """

    clip: Clip
    captions: tuple[str, ...]  # the best first
    log_probs: tuple[float, ...]  # one per caption, or none
    confidence: float | None
    frame_times: tuple[float, ...]
    teacher: str
    revision: str | None
    settings: str  # how frames were chosen and captions decoded, as JSON
    seed: int
    verdicts: tuple[str, ...] = ()
    error: str = ""
    run: str = ""
    language: str | None = None
    parent: str | None = None

    @property
    def failed(self) -> bool:
        """Return whether the clip could not be decoded or captioned."""
        return bool(self.error)

    @property
    def kept(self) -> bool:
        """Return whether it may be trained on."""
        return not (self.error or self.verdicts)

    @property
    def caption(self) -> str:
        """Return the best caption; empty where there is none."""
        return self.captions[0] if self.captions else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionedVideo:
    """Hold one video of a corpus, or a stretch of one, and all of its captions.

    `video` is how the corpus names the file, with or without an extension. `start` and `end` are seconds of that file,
    None for all of it; `origin` records where the file itself was cut from. Of a `question` about it the captions are
    the answers; `kind` is its type, as the corpus has it. `language` is the captions' in a corpus of several.
    """

    id: str
    video: str
    captions: tuple[str, ...]
    split: str
    start: float | None = None
    end: float | None = None
    category: int | None = None
    origin: Origin | None = None
    question: str = ""
    kind: str = ""
    language: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Transcript:
    """Hold the speech of one video, its segments by start; neighbours may overlap."""

    video: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitCoverage:
    """Count how much of a split can be decoded here: what a result reports beside its score.

    `videos` counts the split's rows, `missing` holds the ids of those without a file, `undecodable` the reason by id.
    """

    split: str
    videos: int
    missing: tuple[str, ...]
    undecodable: dict[str, str]

    @property
    def present(self) -> int:
        """Count the rows whose file is present and can be decoded."""
        return self.videos - len(self.missing) - len(self.undecodable)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Hold one video or image as a worker gives it to the collation: its frames [T,3,H,W] or its memory of one row.

    `captions` is what may be learned from it, or what it is scored against; `prompt` is what they continue. `sound` is
    that of the frames in windows [W,F,M], of each of which `sound_lengths` [W] spectrogram frames are real; None of a
    silent file.
    """

    key: str
    modality: Modality
    captions: tuple[str, ...]
    frames: torch.Tensor | None = None
    memory: Memory | None = None
    prompt: str = ""
    sound: torch.Tensor | None = None
    sound_lengths: torch.Tensor | None = None


@dataclass(kw_only=True, slots=True)
class Batch:
    """Hold samples of one modality as a batch: what a training step takes.

    Not frozen, for Lightning's sake. `captions` holds the texts that are learned in this step, one or as many for each
    sample and side by side, `references` all captions of each sample, `prompts` what each caption continues (empty
    where none does). Either `frames` [B,T,3,H,W] with `frame_mask` [B,T] (None where nothing is padded) or `memory` is
    present. Beside frames may stand `sound` in windows [B,W,F,M] with their `sound_lengths` [B,W], 0 of a window that
    is padding. `step` is the position in the seeded stream that this batch was drawn at, `stream` the name of the
    stream that it comes from: by default its modality.
    """

    keys: tuple[str, ...]
    modality: Modality
    captions: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    frames: torch.Tensor | None = None
    frame_mask: torch.Tensor | None = None
    memory: Memory | None = None
    step: int | None = None
    stream: str = ""
    prompts: tuple[str, ...] = ()
    sound: torch.Tensor | None = None
    sound_lengths: torch.Tensor | None = None

    def __post_init__(self) -> None:
        self.stream = self.stream or self.modality

    def __len__(self) -> int:
        return len(self.keys)

    def pin_memory(self) -> Batch:
        """Copy into page-locked memory, from which a GPU copies while it computes: what PyTorch's loaders call."""
        names = ("frames", "frame_mask", "memory", "sound", "sound_lengths")
        parts = {name: getattr(self, name) for name in names}
        return replace(self, **{name: part.pin_memory() for name, part in parts.items() if part is not None})
