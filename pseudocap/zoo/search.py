"""Train, score and ship the retrievers of the zoo builds, by a user's verbs: `train retrieval`, `bench retrieval`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pseudocap.bench.peers.retrieval import DIRECTIONS
from pseudocap.files.atomic import write_text
from pseudocap.files.reading import sha256_of
from pseudocap.files.sources import SHIPPED_SCHEME
from pseudocap.hub.card import About, retriever_card
from pseudocap.hub.fetch import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE
from pseudocap.hub.manifest import KIND, RETRIEVER
from pseudocap.metrics.retrieval import CUTOFFS
from pseudocap.regimes.table import RETRIEVAL, resume_words
from pseudocap.retriever import Retriever
from pseudocap.stages import Stage, Workshop, command_text
from pseudocap.types import Progress
from pseudocap.zoo.recipe import SearchRecipe
from pseudocap.zoo.ship import Backbones

CODE = 1  # raised when the code of a stage makes other weights of the same recipe
FORWARD, BACKWARD = DIRECTIONS
Report = Mapping[str, Any]


def training_stage(
    shop: Workshop,
    recipe: SearchRecipe,
    name: str,
    *,
    data: Sequence[str],
    text: str,
    encoder: str,
    needs: Sequence[str],
    seed: int,
) -> Stage:
    """Return the stage that trains new towers over two frozen networks, which are stages too. `NAME/NAME` is then the
    retriever, by a name that tables can print; of a name with folders it is the last part."""
    words = (
        *("train", RETRIEVAL.name, "--config", "toy", "--out", f"{name}/run", "--seed_everything", str(seed)),
        *("--model.model", "pseudocap.regimes.networks.retriever_from_backbones"),
        *("--model.model.init_args.text", text, "--model.model.init_args.encoder", encoder),
        *(*recipe.words(), *data, "--data.workers", "0", "--data.seed", str(seed)),
        *("--trainer.accelerator", "auto", "--trainer.precision", "bf16-mixed"),
        *("--trainer.enable_progress_bar", "false", "--checkpoint_every", "100"),
    )

    def train(folder: Path, report: Progress) -> Report:
        resume = resume_words(folder / "run")
        shop.verb(*words, *resume)
        link = folder / folder.name
        link.unlink(missing_ok=True)
        link.symlink_to(Path("run", "last"), target_is_directory=True)
        return {"command": command_text(words)}

    return Stage(name=name, settings={"code": CODE, "words": words}, make=train, needs=(text, encoder, *needs))


def score_retrievers(
    shop: Workshop, out: Path, captions: str, videos: str | Path, retrievers: Mapping[str, str]
) -> dict[str, Any]:
    """Run `bench retrieval` on the test split of captions, and return the figures by retriever; chance is one."""
    words = ("bench", "retrieval", captions, "--videos", str(videos), "--retriever", *retrievers.values())
    shop.verb(*words, "--out", out)
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    names = (*retrievers, found["retrievers"][-1]["name"])
    return {
        "command": command_text(words),
        "videos": found["coverage"]["videos"],
        "texts": found["coverage"]["texts"],
        "retrievers": {
            name: {direction: each[direction] for direction in (FORWARD, BACKWARD)}
            for name, each in zip(names, found["retrievers"], strict=True)
        },
    }


def recalls_of(figures: Report, part: str = "value") -> dict[str, Any]:
    """Return recalls by the names that validation gives them: of videos by text, and of texts by video."""
    return {
        f"{prefix}R@{cutoff}": figures[direction][f"R@{cutoff}"][part]
        for prefix, direction in (("", FORWARD), ("text ", BACKWARD))
        for cutoff in CUTOFFS
    }


def search_table(scores: Mapping[str, Report]) -> Iterator[str]:
    """Yield the recalls of retrievers as a Markdown table, by what was searched."""
    yield "| searched | retriever | text finds it: R@1 | R@5 | R@10 | it finds its text: R@1 | R@5 | R@10 |"
    yield "|---|---|---|---|---|---|---|---|"
    for where, each in scores.items():
        for name, figures in each["retrievers"].items():
            values, spreads = recalls_of(figures), recalls_of(figures, "interval")
            cells = (f"{values[key]:.1f} ({spreads[key][0]:.1f} to {spreads[key][1]:.1f})" for key in values)
            yield f"| {each['videos']:,} {where} | {name} | {' | '.join(cells)} |"


def ship_retriever(source: Path, target: Path, backbones: Backbones, results: Report, license_: str) -> None:
    """Save a retriever in a byte for each weight, with the names that its backbones are shipped under, and its page."""
    model = Retriever.from_pretrained(source, device="cpu")
    text, encoder = model.config.text, model.config.encoder
    model.config = model.config.with_backbones(
        text=replace(text, source=backbones.decoder, fingerprint=backbones.fingerprint or text.fingerprint),
        encoder=replace(encoder, source=backbones.encoder),
    )
    model.save_pretrained(target, results=results, int8=True)
    write_text(target / CARD_FILE, retriever_card(model.config, results, About(name=target.name, license=license_)))


def retriever_row(folder: Path, backbones: Backbones, **fields: Any) -> dict[str, Any]:
    """Return the row of checkpoints.yaml of a shipped retriever; `fields` are those that its folder does not know."""
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    return {
        "name": folder.name,
        KIND: RETRIEVER,
        "regime": RETRIEVAL.name,
        "text": {"source": backbones.decoder, "fingerprint": config["text"]["fingerprint"]},
        "encoder": {"source": backbones.encoder, "fingerprint": config["encoders"]["video"]["fingerprint"]},
        "weights": {"source": f"{SHIPPED_SCHEME}{folder.name}", "sha256": sha256_of(folder / WEIGHTS_FILE)},
        "preprocess": {key: config["preprocess"][key] for key in ("size", "mean", "std", "frames")},
        **fields,
    }
