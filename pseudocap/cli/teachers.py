"""Check and describe the teacher that the command line names, and how it wants its frames."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from pseudocap.cli.decoding import read_decoding
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import find_captioner, print_toy_notice
from pseudocap.cli.shots import read_cuts
from pseudocap.decoding import LabelDecoding
from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.files.sources import check_repo, is_directory
from pseudocap.hub.checkpoint import read_config
from pseudocap.hub.fetch import find_row, is_captioner
from pseudocap.label.framing import Framing
from pseudocap.label.teachers.base import LateTeacher, NullTeacher, Teacher
from pseudocap.label.teachers.transcript import AsrTeacher

if TYPE_CHECKING:
    from pseudocap.label.teachers.captioner import PseudoCapTeacher


def check_teacher(args: argparse.Namespace) -> None:
    """Check the teacher, its decoding and its frames, as far as that is possible without torch."""
    decoding_of(args)
    _framing(args, choice=args.frames, count=args.k if args.frames != "centre" else 1, short_side=args.size)
    if args.teacher == "asr" and args.transcripts is None:
        raise ConfigError("--teacher asr repeats speech: name the transcripts with --transcripts")
    if args.teacher in ("null", "asr"):
        _refuse_few_frames(args)
    if args.engine != "local":  # the machines of a cluster have disks of their own
        print_toy_notice(args.teacher, args.teacher)
        return
    if args.transcripts is not None and not args.transcripts.exists():
        raise ConfigError(f"--transcripts {args.transcripts}: there is no such file or folder")
    if args.teacher in ("null", "asr"):
        return
    if _is_pseudocap(args.teacher, args.revision, args.checkpoints):
        if args.frames != "centre":
            raise _only_all_frames(args)
        if args.revision is None:  # with one the loader asks for it
            found = find_captioner(args.teacher, args.checkpoints)
            print_toy_notice(args.teacher, read_config(found.folder))
        return
    _refuse_few_frames(args)
    if not is_directory(args.teacher) and find_row(args.teacher, args.checkpoints) is None:
        check_repo(args.teacher)
    print_toy_notice(args.teacher, args.teacher)


def _refuse_few_frames(args: argparse.Namespace) -> None:
    if args.min_motion and (args.teacher == "asr" or args.frames != "consensus"):
        raise ConfigError(
            "--min-motion compares the frames of a clip, and this teacher gets at most one: name --frames consensus, "
            "or a PseudoCap as --teacher"
        )


def _only_all_frames(args: argparse.Namespace) -> ConfigError:
    return ConfigError(f"--frames {args.frames} is for teachers of images; a PseudoCap samples the complete clip")


def build_teacher(args: argparse.Namespace) -> Teacher:
    decoding = decoding_of(args)
    if args.teacher == "null":
        return NullTeacher()
    if args.teacher == "asr":
        from pseudocap.data.corpora.howto100m import read_transcripts

        return AsrTeacher(transcripts={each.video: each for each in read_transcripts(args.transcripts)})
    from pseudocap.label.teachers.image_text import ImageTextTeacher
    from pseudocap.model.device import pick_device

    device = str(pick_device(args.device))
    quieten()
    if _is_pseudocap(args.teacher, args.revision, args.checkpoints):
        return _captioner(args, decoding, device)
    source, revision = args.teacher, args.revision
    if (row := find_row(source, args.checkpoints)) is not None and row.external:
        source, revision = row.weights, revision or row.revision
    return ImageTextTeacher(
        source, decoding=decoding, revision=revision, size=args.size, device=device, dtype=args.dtype
    )


def decoding_of(args: argparse.Namespace) -> LabelDecoding:
    if args.greedy and args.captions > 1:
        raise ConfigError(f"--greedy has one caption to give, and --captions is {args.captions}: leave one out")
    if args.frames == "consensus" and args.captions > 1:
        raise ConfigError(
            f"--captions is {args.captions}, and with --frames consensus each of the --k {args.k} frames has one: "
            f"leave --captions out"
        )
    top_p = None if args.greedy or args.beams > 1 else LabelDecoding.top_p
    return read_decoding(args, LabelDecoding, top_p=top_p if args.top_p is None else args.top_p, seed=None)


def framing_of(args: argparse.Namespace, teacher: Teacher) -> Framing:
    choice, count = args.frames, args.k if args.frames != "centre" else 1
    if isinstance(teacher, AsrTeacher):
        choice, count = "none", 1
    elif (frames := getattr(teacher, "frames", None)) is not None:  # a PseudoCap sees the complete clip
        if choice != "centre":
            raise _only_all_frames(args)
        choice, count = "spread", frames
    return _framing(args, choice=choice, count=count, short_side=teacher.short_side)


def _framing(args: argparse.Namespace, *, choice: Any, count: int, short_side: int | None) -> Framing:
    return Framing(
        clip_seconds=args.clip_seconds,
        min_seconds=args.min_seconds,
        choice=choice,
        count=count,
        window=args.window,
        short_side=short_side,
        nearest_keyframe=args.nearest_keyframe,
        cuts=read_cuts(args),
    )


def describe_teacher(args: argparse.Namespace) -> tuple[Teacher, Framing]:
    """Return the teacher as a value that travels to other machines, and how it wants its frames."""
    teacher = build_teacher(args)
    framing = framing_of(args, teacher)
    if isinstance(teacher, NullTeacher | AsrTeacher):
        return teacher, framing
    return LateTeacher(teacher, partial(build_teacher, args)), framing


def _captioner(args: argparse.Namespace, decoding: LabelDecoding, device: str) -> PseudoCapTeacher:
    import torch

    from pseudocap.captioner import PseudoCap
    from pseudocap.label.teachers.captioner import PseudoCapTeacher

    precisions = {"auto": torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16}
    if args.dtype not in precisions:
        raise ConfigError(f"--dtype is {args.dtype!r} and must be auto, float32 or bfloat16 for a PseudoCap")
    model = PseudoCap.from_pretrained(
        args.teacher,
        revision=args.revision,
        checkpoints=args.checkpoints,
        device=device,
        dtype=precisions[args.dtype],
    )
    assert model.origin is not None, "from_pretrained names it"
    return PseudoCapTeacher(model, name=args.teacher, decoding=decoding, revision=model.origin.revision)


def _is_pseudocap(name: str, revision: str | None, checkpoints: str | None) -> bool:
    """Test whether a teacher's name is that of a captioner of ours; the loader reports any other mistake in it."""
    try:
        return is_captioner(name, revision=revision, checkpoints=checkpoints)
    except CheckpointError:
        return False
