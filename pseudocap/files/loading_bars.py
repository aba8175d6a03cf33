"""Silence transformers' bars while one of our networks is loaded: they last a fraction of a second, and a program that
loads a captioner did not ask for them. Bars of downloads, which may take minutes, stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial


@contextmanager
def without_loading_bars() -> Iterator[None]:
    """Draw neither "Loading weights" nor "Converting and de-quantizing GGUF tensors"; afterwards bars are as they were.

    transformers' own switch would turn off the hub's bars as well, and forget how they were set; its GGUF reader has
    no switch at all.
    """
    from transformers import modeling_gguf_pytorch_utils as gguf
    from transformers.utils import logging

    drawn, logging._tqdm_active = logging._tqdm_active, False
    bar = gguf.tqdm
    gguf.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        logging._tqdm_active, gguf.tqdm = drawn, bar
