"""Pre-training: adapters between two frozen networks learn by one of the five regimes, under Lightning's own Trainer.

    python examples/03_pretrain_a_regime.py                          # mixed, on the toy world
    python examples/03_pretrain_a_regime.py --regime video-only

For real backbones: decoder="facebook/opt-1.3b" and a TimeSformer of yours as encoder (`pseudocap convert timesformer`).
For real data: `images` a folder of img2dataset's tars (Re-LAION), `videos` the tars of `pseudocap pack`, `transcripts`
HowTo100M's caption.json. For the papers' scale: `pseudocap train mixed --config paper`, whose every setting is
explained by `pseudocap train mixed --help`; docs/recipes.md says what that takes. The few steps here teach the
captions' tone and little more: `pseudocap zoo build` takes as many as it needs.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from lightning.pytorch import Trainer

from pseudocap import PseudoCap
from pseudocap.cli.main import main as pseudocap
from pseudocap.data import StreamData
from pseudocap.regimes import AsrBaseline, ImageOnly, Mixed, MixedExtended, VideoOnly
from pseudocap.regimes.asr import TranscriptData
from pseudocap.regimes.optimisation import Optimisation
from pseudocap.toyworld.write import write_world

REGIMES = {
    "asr": AsrBaseline,
    "image-only": ImageOnly,
    "video-only": VideoOnly,
    "mixed": Mixed,
    "mixed-ext": MixedExtended,  # Mixed, ten times as long
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Pre-train a captioner by one of the five regimes.")
    parser.add_argument("--regime", choices=REGIMES, default="mixed", help="what it learns from (mixed)")
    parser.add_argument("--out", type=Path, help="keep the captioner in this folder")
    parser.add_argument("--smoke", action="store_true", help="three steps, to see that it runs")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        corpora = ["own", "stills", "talking"]
        write_world(root / "world", corpora=corpora, scale="tiny", seed=2, workers=1)

        model = PseudoCap.from_backbones(decoder="pseudocap://toy-opt", encoder="pseudocap://toy-timesformer")
        counts = model.parameter_counts()
        print(
            f"{counts.trainable:,} of {counts.total:,} parameters learn, in {len(model.config.adapter_layers)} adapters"
        )

        module = REGIMES[args.regime](model, optimisation=Optimisation(lr=2e-3, warmup_steps=10))
        data = data_of(args.regime, root, smoke=args.smoke)
        trainer = Trainer(
            max_steps=3 if args.smoke else 60,
            gradient_clip_val=1.0,
            log_every_n_steps=1,
            logger=False,  # any of Lightning's; `pseudocap train` writes CSV, captions and checkpoints by itself
            enable_checkpointing=False,
            enable_model_summary=False,
        )
        trainer.fit(module, data)
        loss = trainer.callback_metrics["train/loss"]
        print(f"loss {loss:.3f} after {trainer.global_step} steps; seen: {data.counts()}")

        film = min((root / "world" / "own" / "videos").glob("*.mp4"))
        print(f"{film.name}: {model.caption(film)}")
        model.save_pretrained(args.out or root / "captioner", results={"regime": args.regime})
        print("next: 04_finetune_on_your_captions.py")


def data_of(regime: str, root: Path, *, smoke: bool) -> StreamData:
    """What a regime learns from. Batches of images are `image_batch_factor` times as large as those of videos."""
    sizes = {"batch_size": 2 if smoke else 4, "workers": 0}
    if regime == "asr":
        talking = root / "world" / "talking"
        return TranscriptData(str(talking / "caption.json"), talking / "videos", **sizes)
    images = None if regime == "video-only" else root / "world" / "stills"
    videos = None if regime == "image-only" else pseudolabelled(root)
    return StreamData(images=images, videos=videos, **sizes)


def pseudolabelled(root: Path) -> Path:
    """Tars of the clips that 02_label_your_videos.py makes."""
    talking = root / "world" / "talking" / "videos"
    here = ("--workers", "0")  # two films are not worth the start of other processes
    teacher = ("--teacher", "pseudocap://toy-blip", "--min-words", "1", "--batch-size", "16")
    run("label", str(talking), *teacher, "--out", str(root / "labels"), *here)
    run("pack", str(root / "labels"), "--out", str(root / "shards"), *here)
    return root / "shards"


def run(*words: str) -> None:
    print(f"\n$ pseudocap {shlex.join(words)}", flush=True)
    if pseudocap(words) > 1:
        sys.exit(2)


if __name__ == "__main__":
    main()
