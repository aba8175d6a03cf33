"""Define how captions are decoded: by search or by sampling, how long, from which seed. Nothing here imports torch.

Captioning, labelling and validation share one value, checked when it is made. What only one of them has (the frames of
a clip, captions per clip, examples in the logs) is a field of a subclass.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pseudocap.errors import InputError, nearest
from pseudocap.memory import GROUPS
from pseudocap.types import MAX_FRAMES, MAX_NEW_TOKENS

SENTENCE = 3  # words at least, or its full stop is that of an abbreviation
LEADING = {  # words that no caption ends with
    *("a", "an", "the", "and", "or", "but", "of", "in", "on", "at", "to", "with", "for", "from", "by", "into", "onto"),
    *("over", "under", "near", "through", "while", "as", "is", "are", "was", "were", "be", "being", "that", "which"),
    *("who", "whose", "his", "her", "their", "its", "this", "these", "very"),
}
NEWER = {"min_new_tokens": 0, "repetition_penalty": 1.0}  # and what switches each off


@dataclass(frozen=True, kw_only=True)  # no slots: jsonargparse reads the defaults from __dict__
class Decoding:
    """Set how captions are decoded: beams search, `top_p` samples, neither takes the likeliest token.

    Args:
        beams: 1 is greedy, as in the papers' ablation
        top_p: sample from the likeliest tokens that together have this probability; null searches
        temperature: of sampling
        max_new_tokens: the longest caption
        min_new_tokens: the shortest caption
        repetition_penalty: above 1 makes tokens that a caption has already less likely
        seed: of sampling; null draws from torch's own random state
    """

    beams: int = 1
    top_p: float | None = None
    temperature: float = 1.0
    max_new_tokens: int = MAX_NEW_TOKENS
    min_new_tokens: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("beams", 1), ("max_new_tokens", 1), ("min_new_tokens", 0)):
            check_count(name, getattr(self, name), least)
        if self.min_new_tokens > self.max_new_tokens:
            raise InputError(f"min_new_tokens is {self.min_new_tokens}, above max_new_tokens ({self.max_new_tokens})")
        if self.seed is not None and (not _is_whole(self.seed) or not 0 <= self.seed < 2**63):
            raise InputError(f"seed must be a whole number from 0 to 2**63 - 1, not {self.seed!r}")
        for name in ("temperature", "repetition_penalty"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, not {getattr(self, name)}")
        if self.top_p is None:
            return
        if self.beams != 1:
            raise InputError(
                f"beams={self.beams} and top_p={self.top_p} exclude one another: leave top_p out to search, or take "
                "one beam to sample"
            )
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p must be above 0 and at most 1, not {self.top_p}")

    @property
    def limits(self) -> dict[str, Any]:
        """Return what applies to search and sampling alike, as transformers calls it."""
        newer = {name: getattr(self, name) for name, off in NEWER.items() if getattr(self, name) != off}
        return {"max_new_tokens": self.max_new_tokens, **newer}

    def generate_options(self) -> dict[str, Any]:
        """Return the keyword arguments of `PseudoCap.generate`, which takes all other options of transformers too."""
        if self.top_p is None:
            how: dict[str, Any] = {"do_sample": False, "num_beams": self.beams}
        else:
            how = {"do_sample": True, "top_p": self.top_p, "temperature": self.temperature}
        return {**how, **self.limits, "seed": self.seed}


@dataclass(frozen=True, kw_only=True)
class FileDecoding(Decoding):
    """Set how files are captioned: also the frames of a clip (None: the checkpoint's own), clips of a batch, a prompt
    that captions continue, and whether a caption that came to the limit of tokens loses what it had only begun.

    `language` is that of the captions, of a captioner that has learned several ("": its first).
    `modalities` are sight and sound (av), sight (v) or sound alone (a); None is all that the captioner and a file have.
    """

    num_frames: int | None = None
    batch_size: int = 8
    prompt: str = ""
    finish: bool = False
    modalities: str | None = None
    language: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("batch_size", self.batch_size, 1)
        check_frames(self.num_frames)
        if self.modalities not in (None, *GROUPS):
            offer = nearest(str(self.modalities), GROUPS)
            raise InputError(f"modalities must be one of {', '.join(GROUPS)}, not {self.modalities!r}{offer}")

    @property
    def needs_hearing(self) -> bool:
        return self.modalities in ("av", "a")


@dataclass(frozen=True, kw_only=True)
class LabelDecoding(Decoding):
    """Set how a teacher decodes: nucleus sampling by default, several captions of a frame, a prompt that opens them."""

    top_p: float | None = 0.9
    max_new_tokens: int = 40
    captions: int = 1
    prompt: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("captions", self.captions, 1)
        if self.captions > 1 and self.top_p is None and self.captions > self.beams:
            raise InputError(f"{self.captions} captions need as many beams, or sampling (top_p)")
        if self.seed is not None:
            raise InputError("labels are drawn from the seed of their run: leave it out of the decoding")

    def recorded(self) -> dict[str, object]:
        """Return the part of a row's settings. Fields of later versions are recorded where they are set, so that runs
        from before them can be resumed."""
        since = {name: value for name, value in asdict(self).items() if name not in (*NEWER, "seed")}
        return {**since, **self.limits}


@dataclass(frozen=True, kw_only=True)
class ValidationDecoding(Decoding):
    """Set how validation decodes captions.

    Args:
        examples: how many captions a validation logs beside a reference
    """

    examples: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("examples", self.examples, 0)


def strip_unfinished(text: str) -> str:
    """Return a caption that the token limit cut, without what it had only begun.

    It ends with its last sentence where one ended; else its last word goes, of which nobody knows whether it is all
    there, and with it the words before that lead to it alone: of "a dog runs over the gr" stays "a dog runs".
    """
    words = text.split()
    ends = [number for number, word in enumerate(words, start=1) if word.rstrip("\"')").endswith((".", "!", "?"))]
    if ends and ends[-1] >= SENTENCE:
        return " ".join(words[: ends[-1]])
    while len(words) > 1:
        words.pop()
        if (last := words[-1].strip(",;:-").lower()) and last not in LEADING:
            break
    return " ".join(words).rstrip(",;:- ")


def check_frames(num_frames: int | None) -> None:
    """Refuse a number of frames that the encoder cannot take; None is the checkpoint's own."""
    if num_frames is not None and not 1 <= num_frames <= MAX_FRAMES:
        raise InputError(f"num_frames must be 1 to {MAX_FRAMES}, not {num_frames}")


def check_count(name: str, value: Any, least: int) -> None:
    if not _is_whole(value) or value < least:
        raise InputError(f"{name} must be a whole number, at least {least}, not {value!r}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
