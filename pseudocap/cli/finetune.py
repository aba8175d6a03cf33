"""Fine-tune on your captions, no config: `pseudocap finetune --from N --data captions.jsonl --videos DIR --out RUN`."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli.checks import require_at_least
from pseudocap.cli.decoding import add_decoding_options
from pseudocap.cli.encoders import heard_by
from pseudocap.cli.finetune_settings import begun_settings, fingerprints, given_groups, require_same, run_settings
from pseudocap.cli.modalities import group_names, group_probabilities, language_shares
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import add_checkpoints_option, find_captioner, find_own_retriever
from pseudocap.cli.resuming import resumable
from pseudocap.data.corpora.named import NamedCorpus
from pseudocap.decoding import ValidationDecoding
from pseudocap.errors import DataError, InputError
from pseudocap.files.atomic import try_to_write
from pseudocap.hub.checkpoint import read_config
from pseudocap.model.config import PseudoCapConfig
from pseudocap.questions import ANSWER_TOKENS
from pseudocap.regimes.table import TOO_FEW_TO_VALIDATE
from pseudocap.tolerance import Tolerance

if TYPE_CHECKING:
    import torch

    from pseudocap.captioner import PseudoCap
    from pseudocap.data.caption_data import CaptionData
    from pseudocap.data.corpora.base import Corpus
    from pseudocap.model.retrieval_config import RetrieverConfig
    from pseudocap.regimes.finetune_run import Tuned
    from pseudocap.regimes.scored_run import TunedByScore
    from pseudocap.retriever import Retriever

STEPS = 8  # of an epoch, at least, ...
FEWEST = 4  # ... but with so many videos each
RETRIEVAL_BATCH = 64  # videos whose captions are compared with one another
WHEN = ("before", "after", "last")
CAPTIONERS_OWN = ("decoder", "validation_groups")  # options that no retriever has


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _add_files(parser)
    _add_training(parser)


def _add_files(parser: argparse.ArgumentParser) -> None:
    add_option(
        parser,
        "--from",
        str,
        "N",
        "the captioner to start from: a row of `pseudocap zoo list`, a repo, an address or a directory",
        dest="start",
        required=True,
    )
    add_checkpoints_option(parser)
    parser.add_argument(
        "--data",
        type=NamedCorpus.of,
        metavar="FILE",
        help="captions: .jsonl, .json, .csv, a folder; or msrvtt:DIR, msvd:DIR, vatex:DIR of official annotations; or "
        "questions to learn to answer: questions:FILE, msrvtt-qa:DIR and the like",
        required=True,
    )
    add_flag(parser, "--retrieval", "N is a retriever: learn to find the videos by their captions, and the reverse")
    add_flag(parser, "--allow-partial", "leave out rows that cannot be used, and take corpora of other counts")
    add_option(parser, "--videos", Path, "DIR", "where the videos lie (default: beside the captions)")
    add_option(parser, "--memories", Path, "DIR", "what `pseudocap encode` stored of them: no video is decoded")
    add_option(parser, "--out", Path, "RUN", "the folder to write", required=True)
    add_option(parser, "--decoder", str, "DIR", "where the frozen decoder lies now, if it moved")
    add_option(parser, "--encoder", str, "DIR", "where the frozen encoder lies now, if it moved")
    add_option(
        parser,
        "--audio-encoder",
        str,
        "A",
        "an AST, a Whisper or a model of the waveform: a captioner that sees alone gains its ears, of a captioner or "
        "retriever that hears where it lies now, if it moved",
    )
    add_option(parser, "--text", str, "DIR", "where the language model of a retriever lies now, if it moved")


def _add_training(parser: argparse.ArgumentParser) -> None:
    add_option(parser, "--lr", 5e-4, None, "the highest learning rate")
    add_option(parser, "--max-epochs", 30, "N", "passes over the captions, at most")
    add_option(parser, "--patience", 5, "N", "stop after N epochs without a better CIDEr-D, sum of recalls or accuracy")
    add_option(parser, "--size", int, "PX", "pixels to learn at (those of N); it then captions at them")
    add_option(parser, "--batch-size", int, "N", "default: what memory allows, for 8 steps an epoch")
    add_option(parser, "--max-failure-rate", 0.1, "R", "stop where more videos fail or miss")
    add_option(parser, "--val-share", 0.1, "R", "held out where no split says val, at least two videos")
    parser.add_argument(
        "--modality-groups",
        type=group_probabilities,
        metavar="P",
        help="of a model that hears, how often a step learns by sight and sound, by sight and by sound alone: "
        "av=0.6,v=0.3,a=0.1 (all that each video has)",
    )
    parser.add_argument(
        "--validation-groups", type=group_names, metavar="G", help="score captions by these alone too: v,a"
    )
    parser.add_argument(
        "--language-mix",
        type=language_shares,
        metavar="P",
        help="of captions in several languages, how often a batch is in which: en=0.5,es=0.5 (all mixed)",
    )
    add_decoding_options(parser, ValidationDecoding(), "beams")
    add_option(parser, "--workers", 2, "N", "processes that decode")
    add_flag(parser, "--resume", "go on with the run in --out, with the settings that it had")
    add_option(parser, "--checkpoint-every", 100, "N", "steps between two checkpoints; each validation has one, too")
    add_option(parser, "--seed", 0, None, "of the order, the crops and the held-out videos")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    add_flag(parser, "--json", "print the result as JSON")


def _refuse_mistakes(args: argparse.Namespace) -> None:
    require_at_least(args, max_epochs=1, patience=1, batch_size=1, beams=1, size=1, workers=0, checkpoint_every=1)
    if not 0 <= args.val_share < 1:
        raise InputError(f"--val-share must be a share from 0 to below 1, not {args.val_share:g}")
    foreign, learns = (CAPTIONERS_OWN, "retriever") if args.retrieval else (("text",), "captioner")
    for name in foreign:
        if (given := getattr(args, name)) is not None:
            raise InputError(f"--{name.replace('_', '-')} {given}: a {learns} has none; leave it out")
    Tolerance(args.max_failure_rate, option="--max-failure-rate")
    if not 0 < args.lr < math.inf:
        raise InputError(f"--lr must be above 0, not {args.lr:g}")
    args.data.require("--data")
    if args.memories is not None and not args.memories.is_dir():
        raise InputError(f"--memories {args.memories}: there is no such folder; `pseudocap encode` makes one")


def _refuse_deafness(args: argparse.Namespace, config: PseudoCapConfig | RetrieverConfig) -> None:
    """Refuse an encoder of sound for a model that cannot gain one, and groups for one that does not hear."""
    if "audio_encoder" in config.backbones:
        return
    gain = "" if args.retrieval else ", or give it an --audio-encoder"
    if args.audio_encoder is not None:
        if isinstance(config, PseudoCapConfig):
            config.require_may_gain_sound()
            return
        raise InputError(
            f"--audio-encoder {args.audio_encoder}: {args.start} does not hear, and a retriever gains no ears; leave "
            "it out, or build one that hears (Retriever.from_backbones, audio_encoder=...)"
        )
    for name in ("modality_groups", "validation_groups"):
        if getattr(args, name) is not None:
            raise InputError(f"--{name.replace('_', '-')}: {args.start} does not hear; leave it out{gain}")


def run(args: argparse.Namespace) -> int:
    begun = begun_settings(args)
    _refuse_mistakes(args)
    corpus = _corpus(args)
    if lacking := set(args.language_mix or {}) - set(corpus.languages):
        has = ", ".join(corpus.languages) or "one language alone"
        raise InputError(f"--language-mix names {', '.join(sorted(lacking))}, and --data {args.data} has {has}")
    backbones = ("text" if args.retrieval else "decoder", "encoder", "audio_encoder")
    moved: dict[str, Any] = {name: getattr(args, name) for name in backbones}
    config: PseudoCapConfig | RetrieverConfig
    if args.retrieval:
        start, config = find_own_retriever(args.start, args.checkpoints, **moved)
    else:
        start = find_captioner(args.start, args.checkpoints, **moved)
        config = read_config(start.folder)
    _refuse_deafness(args, config)
    heard_by(args.audio_encoder, None, moments=None)
    args.val_share = _validating_share(corpus, args.val_share, args.seed)
    try_to_write(args.out / "best")
    settings = run_settings(args, start.folder, config.backbones, begun)

    # Here, after everything that can be checked without torch, which takes seconds to be imported.
    from dataclasses import replace

    from pseudocap.captioner import PseudoCap
    from pseudocap.model.device import pick_device
    from pseudocap.retriever import Retriever

    quieten()
    device = pick_device(args.device)
    kind: type[PseudoCap | Retriever] = Retriever if args.retrieval else PseudoCap
    model = kind.from_pretrained(start, device=device, **moved)
    settings |= fingerprints(model.config.backbones)  # with that of an encoder of sound that it has gained
    require_same(settings, begun)
    if args.size is not None:
        model.set_preprocess(replace(model.config.preprocess, size=args.size))
    with resumable(args.out):
        data = _data(args, corpus, model, settings["--batch-size"])
        options = _fitting(args, data, device, settings)
        if isinstance(model, Retriever):
            _tune_retriever(args, model, data, options)
        elif args.data.asks:
            _tune_answering(args, model, data, options)
        else:
            _tune_captioner(args, model, data, options)
    return 0


def _tune_captioner(args: argparse.Namespace, model: PseudoCap, data: CaptionData, options: dict[str, Any]) -> None:
    from pseudocap.hub.publish import homeless
    from pseudocap.regimes.finetune import FineTune
    from pseudocap.regimes.finetune_run import fine_tune
    from pseudocap.regimes.optimisation import Optimisation

    optimisation = Optimisation(lr=args.lr, warmup_steps=20)
    decoding = ValidationDecoding(beams=args.beams)
    module = FineTune(
        model,
        optimisation=optimisation,
        decoding=decoding,
        seed=args.seed,
        modality_groups=args.modality_groups,
        validation_groups=args.validation_groups or (),
    )
    tuned = fine_tune(module, data, args.out, **options)
    named = "".join(f" --{which.replace('_', '-')} OWNER/{which.upper()}" for which in homeless(model.config))
    _report(args, tuned, f"pseudocap push {tuned.captioner} OWNER/NAME{named}")


def _tune_answering(args: argparse.Namespace, model: PseudoCap, data: CaptionData, options: dict[str, Any]) -> None:
    from pseudocap.regimes.answering import Answering
    from pseudocap.regimes.optimisation import Optimisation
    from pseudocap.regimes.scored_run import tune

    module = Answering(
        model,
        optimisation=Optimisation(lr=args.lr, warmup_steps=20),
        decoding=ValidationDecoding(beams=args.beams, max_new_tokens=ANSWER_TOKENS),
        seed=args.seed,
        modality_groups=args.modality_groups,
        validation_groups=args.validation_groups or (),
    )
    _report_scores(args, tune(module, data, args.out, kind="captioner", score="accuracy", **options), data)


def _tune_retriever(args: argparse.Namespace, model: Retriever, data: CaptionData, options: dict[str, Any]) -> None:
    from pseudocap.regimes.optimisation import Optimisation
    from pseudocap.regimes.retrieval import Retrieval
    from pseudocap.regimes.scored_run import tune

    module = Retrieval(
        model,
        optimisation=Optimisation(lr=args.lr, warmup_steps=20),
        seed=args.seed,
        modality_groups=args.modality_groups,
    )
    _report_scores(args, tune(module, data, args.out, kind="retriever", score="the sum of recalls", **options), data)


def _report_scores(args: argparse.Namespace, tuned: TunedByScore, data: CaptionData) -> None:
    if args.json:
        print(json.dumps(tuned.to_dict()))
        return
    width = max(9, *map(len, tuned.best))
    for name, value in tuned.best.items():
        print(f"{name:<{width}} {tuned.before[name]:8.2f} before {value:8.2f} after {tuned.last[name]:8.2f} last")
    print(f"{tuned.stopped}; {tuned.steps:,} steps, videos in a batch: {data.batch_size}")
    loader = {"retriever": "Retriever", "captioner": "PseudoCap"}[tuned.kind]
    print(f"the {tuned.kind}: {loader}.from_pretrained({str(tuned.folder)!r})")


def _fitting(
    args: argparse.Namespace, data: CaptionData, device: torch.device, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a fit takes of the options, for a captioner and for a retriever."""
    from pseudocap.cli.training_progress import TrainingProgress

    return {
        "max_epochs": args.max_epochs,
        "patience": args.patience,
        "checkpoint_every": args.checkpoint_every,
        "resume": args.resume,
        "settings": {**settings, "--batch-size": data.batch_size},
        "command": _command(args, data.batch_size),
        "progress": None if args.json else TrainingProgress(),
        "accelerator": {"cpu": "cpu", "cuda": "gpu"}.get(device.type, "auto"),
        "devices": 1 if device.index is None or device.type == "cpu" else [device.index],
        "enable_model_summary": False,
        "enable_progress_bar": False,  # Lightning's own
        "log_every_n_steps": 1,
    }


def _report(args: argparse.Namespace, tuned: Tuned, command: str) -> None:
    from pseudocap.regimes.finetune_report import shared

    if args.json:
        known = {name: getattr(tuned, name) for name in ("captioner", "report", "before", "after")}
        print(json.dumps({**known, **tuned.to_dict(), "push": command}, default=str))
        return
    for name, value in tuned.after.items():
        print(f"{name:<8} {tuned.before[name]:8.2f} before {value:8.2f} after {tuned.last.scores[name]:8.2f} last")
    results = (tuned.baseline, tuned.best, tuned.last)
    losses = [each.loss for each in results]
    if None not in losses:
        print("loss     " + " ".join(f"{loss:8.3f} {word}" for loss, word in zip(losses, WHEN, strict=True)))
    found = [each.by_modalities() for each in results]
    for name in shared(found):
        print(f"{name:<15} " + " ".join(f"{each[name]:8.2f} {word}" for each, word in zip(found, WHEN, strict=True)))
    print(f"{tuned.summary}; {args.out / 'last'}" if not tuned.improved else tuned.summary)
    print(f"{tuned.stopped}; {tuned.steps:,} steps, videos in a batch: {tuned.batch_size}")
    for text in tuned.warnings:
        print(f"warning: {text}", file=sys.stderr)
    print(f"the captioner: PseudoCap.from_pretrained({str(tuned.captioner)!r})")
    print(f"the report:    {tuned.report}")
    for text in tuned.next:
        print(f"next:          {text}")
    print(f"to publish it: {command}")


def _corpus(args: argparse.Namespace) -> Corpus:
    """Read the captions, and check that there is something to learn from and a folder of videos."""
    from pseudocap.data.videos import VideoFolder, refuse_absent

    corpus = args.data.read(split="train", allow_partial=args.allow_partial)
    if "train" not in corpus.splits:
        raise DataError(
            f"--data {args.data}: no row is for training, all have the split {', '.join(corpus.splits)}; leave the "
            "split out of the rows that are to be learned from, or call it train"
        )
    if args.memories is None:
        folder = VideoFolder(_videos(args))
        for split in ("train", "val"):  # of which val may be held out from train later
            rows = corpus.split(split).rows if split in corpus.splits else ()
            missing = [row.id for row in rows if folder.find(row) is None]
            refuse_absent(
                missing, len(rows), folder.root, Tolerance(args.max_failure_rate, option="--max-failure-rate")
            )
    return corpus


def _validating_share(corpus: Corpus, share: float, seed: int) -> float:
    """Return the share to hold out: a larger one where it comes to less than the two videos that CIDEr-D takes."""
    from pseudocap.data.corpora.splits import hold_out
    from pseudocap.data.videos import plain_name

    videos = {plain_name(row.video) for row in corpus.split("train").rows}
    if "val" not in corpus.splits and share and len(videos) > 2:
        return max(share, 2 / len(videos))
    split = corpus if "val" in corpus.splits else hold_out(corpus, share, seed=seed)
    if "val" not in split.splits or len(split.split("val").rows) < 2:  # stretches of one video suffice
        raise DataError(TOO_FEW_TO_VALIDATE)
    return share


def _videos(args: argparse.Namespace) -> Path:
    return args.videos or args.data.folder


def _data(
    args: argparse.Namespace, corpus: Corpus, model: PseudoCap | Retriever, batch_size: int | None
) -> CaptionData:
    from pseudocap.captioner import PseudoCap
    from pseudocap.data.caption_data import CaptionData
    from pseudocap.regimes.finetune_run import largest_batch

    data = CaptionData(
        corpus,
        videos=_videos(args),
        memories=args.memories,
        batch_size=batch_size or 1,
        max_failure_rate=args.max_failure_rate,
        workers=args.workers,
        seed=args.seed,
        val_share=args.val_share,
        language_mix=args.language_mix,
    )
    if batch_size is None and (learned := data.learnable):
        # An epoch of a handful of captions should still be several steps, none larger than all there is.
        most = largest_batch(model) if isinstance(model, PseudoCap) else RETRIEVAL_BATCH
        data.set_batch_size(min(most, max(FEWEST, learned // STEPS), learned))
    return data


def _command(args: argparse.Namespace, batch_size: int) -> str:
    """Return what was run, for the page of the captioner: files by name, without where they lie on this machine."""
    start = Path(args.start).name if Path(args.start).expanduser().exists() else args.start
    settings = {"--from": start, "--data": args.data.short, "--out": args.out.name, "--batch-size": batch_size}
    for name in ("lr", "max_epochs", "patience", "val_share", "beams", "seed"):
        settings[f"--{name.replace('_', '-')}"] = getattr(args, name)
    if args.size is not None:
        settings["--size"] = args.size
    if args.audio_encoder is not None:
        known = Path(args.audio_encoder).expanduser()
        settings["--audio-encoder"] = known.name if known.exists() else args.audio_encoder
    settings |= given_groups(args)
    verb = ["pseudocap", "finetune", *(["--retrieval"] if args.retrieval else [])]
    return shlex.join([*verb, *(str(word) for pair in settings.items() for word in pair)])
