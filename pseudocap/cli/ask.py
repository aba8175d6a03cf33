"""Ask questions about videos and images: `pseudocap ask FILE... "what is the man doing?"`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pseudocap.cli.caption import add_captioner_options, load_model, refuse_deafness
from pseudocap.cli.checks import require_at_least
from pseudocap.cli.decoding import add_decoding_options, read_decoding
from pseudocap.cli.media_files import media_files
from pseudocap.cli.registry import find_any_captioner
from pseudocap.cli.tables import print_table
from pseudocap.decoding import FileDecoding
from pseudocap.errors import ConfigError, DecodeError, InputError
from pseudocap.memory import GROUPS
from pseudocap.questions import ANSWER_TOKENS, listed
from pseudocap.types import IMAGE_EXTENSIONS, MEDIA_EXTENSIONS

EPILOG = """FILE is a video, an image, a folder (with all below it) or a pattern in quotes ('films/*.mp4'); with
--modalities a also a sound (.wav, .mp3, ...). A word that names none is a question, so quote it. Each question is asked
about each file. Files that cannot be read are listed at the end, and the exit code is then 1; the others are asked
about all the same."""
FORMATS = ("text", "json", "jsonl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="+", metavar="FILE... QUESTION", help="files, and questions about each of them")
    add_captioner_options(parser)
    parser.set_defaults(checkpoint=None)
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="jsonl is rows that `score` and `finetune` take (text)"
    )
    add_decoding_options(
        parser, FileDecoding(max_new_tokens=ANSWER_TOKENS), "beams max_new_tokens num_frames batch_size"
    )
    parser.add_argument(
        "--modalities",
        choices=tuple(GROUPS),
        help="of a captioner that hears: by sight and sound, by sight, or by sound alone (all that a file has)",
    )


def run(args: argparse.Namespace) -> int:
    require_at_least(args, beams=1, max_new_tokens=1, batch_size=1)
    files, questions = sorted_words(args.words, sounds=args.modalities == "a")
    if args.checkpoint is None:
        raise ConfigError(
            "--checkpoint is missing: name a captioner that has learned to answer (pseudocap finetune --data "
            "questions:FILE makes one), or a chat-style model of transformers"
        )
    decoding = read_decoding(args, FileDecoding)
    captioner = find_any_captioner(args.checkpoint, args.checkpoints, frames=args.frames)
    refuse_deafness(args, captioner)
    model = load_model(args, captioner)
    failed: list[str] = []
    rows: list[tuple[str, str, str]] = []
    options = {
        name: getattr(decoding, name) for name in ("beams", "max_new_tokens", "num_frames", "batch_size", "modalities")
    }
    for file in files:
        try:
            answers = model.ask(file, questions, **options)
        except DecodeError as failure:
            failed.append(str(failure))
            continue
        rows += [(str(file), question, answer) for question, answer in zip(questions, answers, strict=True)]
        if args.format == "jsonl":  # as they come
            for row in rows[-len(questions) :]:
                print(json.dumps(_record(row), ensure_ascii=False), flush=True)
    if args.format == "json":
        print(json.dumps([_record(row) for row in rows], ensure_ascii=False, indent=1))
    elif args.format == "text":
        _print_text(rows, len(files) * len(questions))
    for reason in failed:
        print(f"failed: {reason}", file=sys.stderr)
    return 1 if failed else 0


def sorted_words(words: list[str], *, sounds: bool = False) -> tuple[list[Path], list[str]]:
    """Return the files and the questions among the words. One that names a file, or ends like one, is no question; of a
    folder the files are its videos and images, or with `sounds` its videos and sounds."""
    files: dict[Path, None] = {}
    questions = []
    for word in words:
        if _names_files(word):
            files |= dict.fromkeys(media_files(word, sounds=sounds))
        else:
            questions.append(word)
    if not files:
        raise InputError("there is no file among these words: name a video or an image before the question")
    if not questions:
        raise InputError('there is no question among these words: write one in quotes, "what is the man doing?"')
    listed(questions)  # which refuses one without words
    return [*files], questions


def _names_files(word: str) -> bool:
    if not word.strip():  # which Path takes for the folder one is in
        return False
    if Path(word).suffix.lower() in (*MEDIA_EXTENSIONS, *IMAGE_EXTENSIONS):
        return True
    try:
        return Path(word).expanduser().exists() or bool(media_files(word))  # which knows patterns
    except (InputError, OSError, RuntimeError):  # no name of a file: too long for one, or of no user's home
        return False


def _record(row: tuple[str, str, str]) -> dict[str, Any]:
    return dict(zip(("video", "question", "answer"), row, strict=True))


def _print_text(rows: list[tuple[str, str, str]], wanted: int) -> None:
    """Print the answer alone where one was asked for, else a table."""
    if wanted == 1:
        print("\n".join(answer for _, _, answer in rows))
    elif rows:
        headings = ("question", "answer", "file")
        print_table("", headings, [(question, answer, file) for file, question, answer in rows], left=headings)
