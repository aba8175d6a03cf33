"""Install what leaves the build: backbones, teacher and adapters in half precision, and their rows of checkpoints.yaml.

Shipped captioners name their backbones by `pseudocap://NAME`, which means the package's own folder wherever it is
installed. Adapters come twice: after pre-training alone, and after fine-tuning, which is what captions well.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from pseudocap.captioner import PseudoCap
from pseudocap.errors import DataError
from pseudocap.evaluate.views import PLAIN, VIEWS
from pseudocap.files.atomic import write_text
from pseudocap.files.reading import sha256_of
from pseudocap.files.sources import SHIPPED_SCHEME
from pseudocap.hub.fetch import WEIGHTS_FILE
from pseudocap.hub.manifest import AUDIO_ENCODER, KIND, PUBLISHED
from pseudocap.metrics.measures import METRICS
from pseudocap.model.config import AUDIO, VIDEO
from pseudocap.regimes.table import REGIMES
from pseudocap.stages import Workshop, commit
from pseudocap.zoo.recipe import ZooRecipe

PACKAGE = Path(__file__).resolve().parents[1]
LIMIT = 25_000_000  # bytes of all toy weights that are shipped
REAL_LIMIT = 40_000_000  # and of those of real pictures
SEARCH_LIMIT = 3_500_000  # and of each retriever
OPT, TIMESFORMER, BLIP, AST = "toy-opt", "toy-timesformer", "toy-blip", "toy-ast"
LEFT_BEHIND = ("done.json", "state.pt", "clips.npy", ".*")
DATASET = "toy-msrvtt"
HEADER = """\
# One row per released weight; pseudocap/hub/manifest.py checks the fields. Data only: nothing here is executed.
# `pseudocap zoo build` wrote the rows that the package ships: pseudocap://NAME is pseudocap/zoo/shipped/NAME.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backbones:
    """Name the frozen networks of captioners by the addresses that they are shipped under. `fingerprint` is of a
    decoder that is shipped in fewer bits than the adapters learned with, `audio` the encoder of those that hear."""

    decoder: str
    encoder: str
    fingerprint: str | None = None
    audio: str | None = None


def ship(
    folder: Path,
    shop: Workshop,
    recipe: ZooRecipe,
    *,
    others: Sequence[Callable[[Path, Backbones], Mapping[str, Any]]],
    tables: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """Write `shipped/` and `checkpoints.yaml` into the folder, and refuse what is too large to ship. Each of `others`
    saves one more model and returns its row; `tables` are theirs."""
    backbones = Backbones(
        decoder=SHIPPED_SCHEME + OPT, encoder=SHIPPED_SCHEME + TIMESFORMER, audio=SHIPPED_SCHEME + AST
    )
    networks = {"writer": OPT, "watcher": TIMESFORMER, "teacher": BLIP, "ast": AST}
    shipped = copy_backbones(folder, networks, shop)
    rows = []
    for regime in REGIMES:
        report = shop.reports[f"tuned-{regime}"]
        for suffix, run in (("", f"tuned-{regime}/run/best"), ("-pretrained", f"trained-{regime}/run/last")):
            name = f"toy-{regime}{suffix}"
            results = _results(shop, regime, report) if not suffix else {"regime": regime, "scores": {}}
            save_captioner(shop.folder(run), shipped / name, backbones, results)
            verify = {"dataset": DATASET, "split": "test", "command": f"pseudocap zoo verify {name}"}
            rows.append(
                {
                    **row_of(shipped / name, backbones, regime),
                    "config": f"pseudocap/configs/{regime}-toy.yaml",
                    "scores": [] if suffix else [{**verify, "metrics": dict(report[PLAIN])}],
                    "license": "Apache-2.0",
                    "made_by": {"command": "pseudocap zoo build", "seed": recipe.seed, "commit": commit()},
                }
            )
    rows += [dict(ship_other(shipped, backbones)) for ship_other in others]
    table = [line for each in (list(regime_table(shop.reports)), *tables) for line in (*each, "")]
    return finish(folder, rows, LIMIT) | {"table": table[:-1]}


def copy_backbones(folder: Path, names: Mapping[str, str], shop: Workshop) -> Path:
    """Copy stages' folders into a new `shipped/` under the names that are shipped, and return it."""
    shipped = folder / "shipped"
    shutil.rmtree(shipped, ignore_errors=True)
    for source, name in names.items():
        skip = shutil.ignore_patterns(*LEFT_BEHIND)
        shutil.copytree(shop.folder(source), shipped / name, ignore=skip, copy_function=shutil.copyfile)
    for path in shipped.rglob("tokenizer.json"):  # whose indentation is more than half of it
        document = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    return shipped


def finish(folder: Path, rows: Sequence[Mapping[str, Any]], limit: int) -> dict[str, Any]:
    """Write the rows, and refuse what is too large to ship: all together, and each retriever by itself."""
    shipped = folder / "shipped"
    retrievers = {shipped / row["name"] for row in rows if KIND in row}
    sizes = {each: _size(each) for each in shipped.iterdir()}
    others = sum(size for each, size in sizes.items() if each not in retrievers)
    limits = {shipped: (others, limit), **{each: (sizes[each], SEARCH_LIMIT) for each in retrievers}}
    for what, (size, most) in limits.items():
        if size > most:
            raise DataError(f"{what} has {size:,} bytes, and {most:,} may be shipped: make it smaller")
    write_text(folder / "checkpoints.yaml", manifest_text(rows))
    return {"bytes": sum(sizes.values())}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def manifest_text(rows: Sequence[Mapping[str, Any]], published: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return checkpoints.yaml of these rows, and of the published figures that stand behind them."""
    document = {"checkpoints": list(rows)} | ({PUBLISHED: list(published)} if published else {})
    return HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def install(built: Path, package: Path = PACKAGE) -> None:
    """Put a finished build where the source tree ships it from; what another build made stays beside it."""
    target, rows = package / "zoo" / "shipped", package.parent / "checkpoints.yaml"
    made = yaml.safe_load((built / "checkpoints.yaml").read_text(encoding="utf-8"))["checkpoints"]
    there = yaml.safe_load(rows.read_text(encoding="utf-8")) if rows.is_file() else {"checkpoints": []}
    for folder in sorted((built / "shipped").iterdir()):
        shutil.rmtree(target / folder.name, ignore_errors=True)
        shutil.copytree(folder, target / folder.name)
    news = {row["name"]: row for row in made}
    kept = [news.pop(row["name"], row) for row in there["checkpoints"]]
    write_text(rows, manifest_text([*kept, *news.values()], there.get(PUBLISHED, ())))


def regime_table(reports: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the five regimes as a Markdown table, and the baselines below."""
    yield f"| regime | CIDEr-D (95 %) | BLEU-4 | ROUGE-L | {' | '.join(VIEWS[1:])} | true |"
    yield f"|---|---|---|---|{'---|' * (len(VIEWS) - 1)}---|"
    for regime in REGIMES:
        each = reports[f"tuned-{regime}"]
        low, high = each["intervals"]["CIDEr-D"]
        scores = each[PLAIN]
        others = " | ".join(f"{each[view]['CIDEr-D']:.1f}" for view in VIEWS[1:])
        yield (
            f"| {regime} | {scores['CIDEr-D']:.1f} ({low:.1f} to {high:.1f}) | {scores['BLEU-4']:.1f} | "
            f"{scores['ROUGE-L']:.1f} | {others} | {each['truth']['correct']:.1f} % |"
        )
    people = reports["yardsticks"]["one person against the other 19"]
    figures = " | ".join(f"{people[metric]:.1f}" for metric in METRICS)
    yield f"| people, one against the other 19 | {figures} | | | | | |"


def save_captioner(
    source: Path, target: Path, backbones: Backbones, results: Mapping[str, Any], *, int8: bool = False
) -> None:
    """Save a captioner in few bytes, with the names that its backbones are shipped under."""
    model = PseudoCap.from_pretrained(source, device="cpu").half()
    decoder, encoder = model.config.decoder, model.config.encoder
    fingerprint = backbones.fingerprint or decoder.fingerprint
    networks = {
        "decoder": replace(decoder, source=backbones.decoder, fingerprint=fingerprint),
        "encoder": replace(encoder, source=backbones.encoder),
    }
    if (heard := model.config.encoders.get(AUDIO)) is not None and backbones.audio is not None:
        networks["audio_encoder"] = replace(heard, source=backbones.audio)
    model.config = model.config.with_backbones(**networks)
    model.save_pretrained(target, results=results, int8=int8)


def _results(shop: Workshop, regime: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what fine-tuning recorded of its data, with the scores on the test films in place of the validation's."""
    path = shop.folder(f"tuned-{regime}/run/best/results.json")
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    # Fine-tuning reads the drawn corpus as anybody's own captions; whoever reads the page must know which it is.
    named = {"data": {**known["data"], "corpus": DATASET}} if "data" in known else {}
    return {**known, **named} | {
        "started_from": f"toy-{regime}-pretrained",
        "split": "test",
        "scores": report[PLAIN],
        "intervals": report["intervals"],
        "videos": shop.reports["yardsticks"]["films"],
        "command": report["command"],
    }


def row_of(folder: Path, backbones: Backbones, regime: str) -> dict[str, Any]:
    """Return the fields of a row that its saved captioner decides."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    encoder, heard = config["encoders"][VIDEO], config["encoders"].get(AUDIO)
    audio = {} if heard is None else {AUDIO_ENCODER: {"source": backbones.audio, "fingerprint": heard["fingerprint"]}}
    return {
        "name": folder.name,
        "regime": regime,
        "decoder": {"source": backbones.decoder, "fingerprint": config["decoder"]["fingerprint"]},
        "encoder": {"source": backbones.encoder, "fingerprint": encoder["fingerprint"]},
        **audio,
        "weights": {"source": f"{SHIPPED_SCHEME}{folder.name}", "sha256": sha256_of(folder / WEIGHTS_FILE)},
        "preprocess": {key: config["preprocess"][key] for key in ("size", "mean", "std", "frames")},
    }
