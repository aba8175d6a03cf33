"""How captions are asked for: by search or sampling, how long, of how many frames. Checked at birth, and without torch,
so that a wrong number is told at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pseudocap.errors import InputError
from pseudocap.types import MAX_FRAMES, MAX_NEW_TOKENS


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """How captions are decoded, and of what."""

    beams: int = 1
    top_p: float | None = None
    max_new_tokens: int = MAX_NEW_TOKENS
    seed: int | None = None
    num_frames: int | None = None
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {self.batch_size}")
        check_frames(self.num_frames)
        decoding_options(**self.decoding)  # which checks them

    @property
    def decoding(self) -> dict[str, Any]:
        names = ("beams", "top_p", "max_new_tokens", "seed")
        return {name: getattr(self, name) for name in names}


def check_frames(num_frames: int | None) -> None:
    """None is the checkpoint's own number."""
    if num_frames is not None and not 1 <= num_frames <= MAX_FRAMES:
        raise InputError(f"num_frames must be 1 to {MAX_FRAMES}, not {num_frames}")


def decoding_options(*, beams: int, top_p: float | None, max_new_tokens: int, seed: int | None) -> dict[str, Any]:
    """The few options that captioning needs, as transformers calls them; `generate` takes all the others."""
    for name, value in (("beams", beams), ("max_new_tokens", max_new_tokens)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} must be a whole number, at least 1, not {value!r}")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63):
        raise InputError(f"seed must be a whole number from 0 to 2**63 - 1, not {seed!r}")
    if top_p is None:
        return {"num_beams": beams, "max_new_tokens": max_new_tokens, "seed": seed, "do_sample": False}
    if beams != 1:
        raise InputError(f"beams={beams} and top_p={top_p} exclude one another: search, or sample")
    if not 0 < top_p <= 1:
        raise InputError(f"top_p must be above 0 and at most 1, not {top_p}")
    return {"do_sample": True, "top_p": top_p, "max_new_tokens": max_new_tokens, "seed": seed}
