"""Declare the options of decoding on the command line, and read them into one checked value."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any, TypeVar

from pseudocap.decoding import Decoding

Options = TypeVar("Options", bound=Decoding)
OPTIONS: dict[str, tuple[type, str, str]] = {
    "beams": (int, "N", "beam search (1: none)"),
    "top_p": (float, "P", "sample from the likeliest tokens that together have probability P"),
    "temperature": (float, "X", "of sampling"),
    "captions": (int, "N", "captions of a frame"),
    "max_new_tokens": (int, "N", "the longest caption"),
    "min_new_tokens": (int, "N", "the shortest caption"),
    "repetition_penalty": (float, "X", "above 1 makes tokens that the caption has already less likely"),
    "prompt": (str, "TEXT", "what a caption begins with, or the question"),
    "language": (str, "CODE", "the language of the captions, as es; of a captioner that has learned several"),
    "seed": (int, "N", "of sampling"),
    "num_frames": (int, "T", "frames of a clip; default: the checkpoint's own"),
    "batch_size": (int, "N", "clips at once"),
}


def add_decoding_options(parser: Any, defaults: Decoding, names: str) -> None:
    """Declare the options called `names` on a parser or a group of one."""
    for name in names.split():
        kind, metavar, meaning = OPTIONS[name]
        default = getattr(defaults, name)
        text = meaning if default in (None, "") or meaning.endswith(")") else f"{meaning} ({default:g})"
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default, metavar=metavar, help=text)


def read_decoding(args: argparse.Namespace, kind: type[Options], **given: Any) -> Options:
    """Return the options that a verb has, checked; `given` goes before them."""
    options = {each.name: getattr(args, each.name) for each in fields(kind) if hasattr(args, each.name)}
    return kind(**{**options, **given})
