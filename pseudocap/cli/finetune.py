"""`pseudocap finetune --from N --data captions.jsonl --videos DIR --out RUN`: your captions, no config."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pseudocap.errors import ConfigError, InputError

STEPS = 8  # of an epoch, at least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="start", required=True, metavar="N", help="the captioner to start from")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="captions: .jsonl, .json, .csv, a folder"
    )
    parser.add_argument(
        "--videos", type=Path, metavar="DIR", help="where the videos lie (default: beside the captions)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the folder to write")
    parser.add_argument("--decoder", metavar="DIR", help="where the frozen decoder lies now, if it moved")
    parser.add_argument("--encoder", metavar="DIR", help="where the frozen encoder lies now, if it moved")
    parser.add_argument("--lr", type=float, default=5e-4, help="the highest learning rate (5e-4)")
    parser.add_argument(
        "--max-epochs", type=int, default=30, metavar="N", help="passes over the captions, at most (30)"
    )
    parser.add_argument(
        "--patience", type=int, default=5, metavar="N", help="stop after N epochs without a better CIDEr-D (5)"
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help="default: what memory allows")
    parser.add_argument(
        "--val-share", type=float, default=0.1, metavar="R", help="held out where no split says val (0.1)"
    )
    parser.add_argument("--beams", type=int, default=1, help="beams of the validation's captions (1)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes that decode (2)")
    parser.add_argument("--seed", type=int, default=0, help="of the order, the crops and the held-out videos (0)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    if (args.out / "best").exists():
        raise ConfigError(f"--out {args.out} holds a run already; name another folder")
    for name in ("max_epochs", "patience"):
        if getattr(args, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(args, name)}")
    if not args.data.exists():
        raise InputError(f"--data {args.data}: there is no such file or folder")

    import logging

    from pseudocap.captioner import PseudoCap, pick_device
    from pseudocap.data.captions import read_own
    from pseudocap.data.module import CaptionData
    from pseudocap.regimes.base import Decoding
    from pseudocap.regimes.finetune import FineTune
    from pseudocap.regimes.optimisation import Optimisation
    from pseudocap.regimes.tuning import fine_tune, largest_batch

    logging.basicConfig(level=logging.WARNING)
    device = pick_device(args.device)
    optimisation = Optimisation(lr=args.lr, warmup_steps=20)
    model = PseudoCap.from_pretrained(args.start, decoder=args.decoder, encoder=args.encoder, device=device)
    learned = read_own(args.data, split="train").counts.get("train", {"videos": 0})["videos"]
    data = CaptionData(
        args.data,
        videos=args.videos,
        # An epoch of a handful of captions should still be several steps.
        batch_size=args.batch_size or min(largest_batch(model), max(1, learned // STEPS)),
        workers=args.workers,
        seed=args.seed,
        val_share=args.val_share,
    )
    tuned = fine_tune(
        FineTune(model, optimisation=optimisation, decoding=Decoding(beams=args.beams), seed=args.seed),
        data,
        args.out,
        max_epochs=args.max_epochs,
        patience=args.patience,
        accelerator="cpu" if device.type == "cpu" else "auto",
        devices=1,
        enable_model_summary=False,
        enable_progress_bar=not args.json,
        log_every_n_steps=1,
    )
    command = f"pseudocap push {tuned.captioner} OWNER/NAME"
    if args.json:
        print(
            json.dumps(
                {
                    "captioner": str(tuned.captioner),
                    "report": str(tuned.report),
                    "before": tuned.before,
                    "after": tuned.after,
                    "steps": tuned.steps,
                    "batch_size": tuned.batch_size,
                    "push": command,
                }
            )
        )
        return 0
    for name, value in tuned.after.items():
        print(f"{name:<8} {tuned.before[name]:8.2f} before {value:8.2f} after")
    print(f"{tuned.steps:,} steps, {tuned.batch_size} videos in a batch")
    print(f"the captioner: PseudoCap.from_pretrained({str(tuned.captioner)!r})")
    print(f"the report:    {tuned.report}")
    print(f"to publish it: {command}")
    return 0
