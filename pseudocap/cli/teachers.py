"""The teacher that the command line names, and how it wants its frames."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import find_captioner
from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.files.sources import check_repo, is_directory
from pseudocap.hub.fetch import is_captioner
from pseudocap.label.framing import Framing
from pseudocap.label.teachers.image_text import (
    Answer,
    AsrTeacher,
    Decoding,
    ImageTextTeacher,
    LateTeacher,
    NullTeacher,
    Teacher,
    View,
)

if TYPE_CHECKING:
    from pseudocap.captioner import PseudoCap


def check_teacher(args: argparse.Namespace) -> None:
    """What is wrong with the teacher, how it decodes and what it is shown, as far as that can be told without torch."""
    decoding_of(args)
    _framing(args, choice=args.frames, count=args.k if args.frames != "centre" else 1, short_side=args.size)
    if args.teacher == "asr" and args.transcripts is None:
        raise ConfigError("--teacher asr says what is said: name the transcripts with --transcripts")
    if args.engine != "local":  # the machines of a cluster have disks of their own
        return
    if args.transcripts is not None and not args.transcripts.exists():
        raise ConfigError(f"--transcripts {args.transcripts}: there is no such file or folder")
    if args.teacher in ("null", "asr"):
        return
    if _is_pseudocap(args.teacher, args.revision, args.checkpoints):
        if args.frames != "centre":
            raise _only_the_whole_clip(args)
        if args.revision is None:  # with one the loader asks for it
            find_captioner(args.teacher, args.checkpoints)
    elif not is_directory(args.teacher):
        check_repo(args.teacher)


def _only_the_whole_clip(args: argparse.Namespace) -> ConfigError:
    return ConfigError(f"--frames {args.frames} is for teachers of images; a PseudoCap watches the whole clip")


def build_teacher(args: argparse.Namespace) -> Teacher:
    decoding = decoding_of(args)
    if args.teacher == "null":
        return NullTeacher()
    if args.teacher == "asr":
        return _asr(args)
    from pseudocap.captioner import pick_device

    device = str(pick_device(args.device))
    quieten()
    if _is_pseudocap(args.teacher, args.revision, args.checkpoints):
        return PseudoCapTeacher(
            args.teacher,
            decoding=decoding,
            device=device,
            dtype=args.dtype,
            revision=args.revision,
            checkpoints=args.checkpoints,
        )
    return ImageTextTeacher(
        args.teacher, decoding=decoding, revision=args.revision, size=args.size, device=device, dtype=args.dtype
    )


def decoding_of(args: argparse.Namespace) -> Decoding:
    if args.greedy and args.captions > 1:
        raise ConfigError(f"--greedy has one caption to give, and --captions is {args.captions}: leave one out")
    if args.frames == "consensus" and args.captions > 1:
        raise ConfigError(
            f"--captions is {args.captions}, and with --frames consensus each of the --k {args.k} frames says one: "
            f"leave --captions out"
        )
    top_p = None if args.greedy or args.beams > 1 else 0.9
    return Decoding(
        top_p=top_p if args.top_p is None else args.top_p,
        temperature=args.temperature,
        beams=args.beams,
        captions=args.captions,
        max_new_tokens=args.max_new_tokens,
        prompt=args.prompt,
    )


def framing_of(args: argparse.Namespace, teacher: Teacher) -> Framing:
    choice, count = args.frames, args.k if args.frames != "centre" else 1
    if isinstance(teacher, AsrTeacher):
        choice, count = "none", 1
    if isinstance(teacher, PseudoCapTeacher):
        if choice != "centre":
            raise _only_the_whole_clip(args)
        choice, count = "spread", teacher.frames
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
    )


def describe_teacher(args: argparse.Namespace) -> tuple[Teacher, Framing]:
    """The teacher as a value that travels to other machines, and how it wants its frames."""
    teacher = build_teacher(args)
    framing = framing_of(args, teacher)
    if isinstance(teacher, NullTeacher | AsrTeacher):
        return teacher, framing
    return LateTeacher.of(teacher, partial(build_teacher, args)), framing


def _asr(args: argparse.Namespace) -> AsrTeacher:
    from pseudocap.data.corpora.howto100m import read_transcripts

    assert args.transcripts is not None, "checked with the teacher"
    return AsrTeacher(transcripts={each.video: each for each in read_transcripts(args.transcripts)})


def _is_pseudocap(name: str, revision: str | None, checkpoints: str | None) -> bool:
    """Whether a teacher's name is that of a captioner of ours; any other mistake in it is the loader's to tell."""
    try:
        return is_captioner(name, revision=revision, checkpoints=checkpoints)
    except CheckpointError:
        return False


class PseudoCapTeacher:
    """A captioner of ours as a teacher, for self-refinement: it watches the clip, not only its centre."""

    def __init__(
        self,
        name: str,
        *,
        decoding: Decoding,
        device: str,
        dtype: str,
        revision: str | None = None,
        checkpoints: str | None = None,
    ) -> None:
        import torch

        from pseudocap.captioner import PseudoCap

        if decoding.prompt:
            raise ConfigError("--prompt is for teachers of images; a PseudoCap begins its captions itself")
        precisions = {"auto": torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16}
        if dtype not in precisions:
            raise ConfigError(f"--dtype is {dtype!r} and must be auto, float32 or bfloat16 for a PseudoCap")
        self._model: PseudoCap = PseudoCap.from_pretrained(
            name, revision=revision, checkpoints=checkpoints, device=device, dtype=precisions[dtype]
        )
        self._decoding = decoding
        self.name = name
        assert self._model.origin is not None, "from_pretrained names it"
        self.revision: str | None = self._model.origin.revision
        self.frames = self._model.config.preprocess.frames
        self.short_side: int | None = self._model.config.preprocess.size
        self.settings: Mapping[str, object] = {
            **{field: getattr(decoding, field) for field in Decoding.__slots__},
            "dtype": str(precisions[dtype]).removeprefix("torch."),
        }

    def caption(self, views: Sequence[View]) -> list[Answer]:
        import torch

        from pseudocap.video.transforms import eval_tensor
        from pseudocap.video.watch import pad_clips

        clips = []
        for view in views:
            assert view.frames is not None, "a teacher of video is shown frames"
            clips.append(eval_tensor(view.frames, self._model.config.preprocess))
        with torch.inference_mode():
            frames, mask = pad_clips(clips)
            memory = self._model.encode(frames, mask)
            return self._written(memory, views)

    def _written(self, memory: Any, views: Sequence[View]) -> list[Answer]:
        import torch

        from pseudocap.label.sampling import KeyedSampling

        chosen = self._decoding
        if chosen.beams > 1:
            ids = self._model.generate(memory, num_beams=chosen.beams, max_new_tokens=chosen.max_new_tokens)
            return [Answer(captions=(text,)) for text in self._model.decode(ids)]
        answers: list[list[tuple[float, int, str]]] = [[] for _ in views]
        for number in range(chosen.captions):
            keys = torch.tensor([view.key + number for view in views], dtype=torch.int64, device=self._model.device)
            sampling = KeyedSampling(keys, top_p=chosen.top_p, temperature=chosen.temperature)
            ids = self._model.generate(
                memory, do_sample=True, top_k=0, top_p=1.0, temperature=1.0, seed=0,
                max_new_tokens=chosen.max_new_tokens, logits_processor=[sampling],
            )  # fmt: skip
            log_probs, tokens = sampling.of_captions(ids, [self._model.decoder.config.eos_token_id])
            texts = self._model.decode(ids)
            for row, answer in enumerate(zip(log_probs, tokens, texts, strict=True)):
                answers[row].append(answer)
        return [_ranked(several) for several in answers]


def _ranked(several: list[tuple[float, int, str]]) -> Answer:
    several.sort(key=lambda answer: -answer[0])
    return Answer(
        captions=tuple(text for _, _, text in several),
        log_probs=tuple(log_prob for log_prob, _, _ in several),
        tokens=tuple(tokens for _, tokens, _ in several),
    )
