"""Score captioners that were fine-tuned on films with sound on the test films of the toy MSR-VTT, whose captions say
nothing of what is heard: whether they lost what the captioner that they started from had learned there."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudocap.bench.claims.certainty import mean_over_seeds
from pseudocap.captioner import PseudoCap
from pseudocap.data.collate import collate
from pseudocap.data.corpora.own import read_own
from pseudocap.data.memories.source import MemoryRows, MemorySource
from pseudocap.evaluate.captioner import HeldOut, caption_views, references_of, rounded_intervals
from pseudocap.memory import Memory
from pseudocap.metrics.suite import compare, score
from pseudocap.zoo.baselines import ToyFilm, held_out_films, truth, verdicts_on

STARTED = "tuned-mixed"  # the stage of toy-mixed, which all of them started from
METRIC = "CIDEr-D"
Found = dict[str, dict[str, dict[str, Any]]]  # by captioner and by what it is given


def compare_on_msrvtt(
    captioners: Mapping[str, Path], *, store: Path, captions: Path, root: Path, seed: int
) -> dict[str, Any]:
    """Caption the test films with each captioner by sight, and with sound by those that hear; the first is the one that
    the others started from. Return CIDEr-D, and how it differs from the first one's."""
    films = held_out_films(root, seed)
    memory = stored_memory(store, captions, films)
    texts = {name: _captions(folder, memory, films) for name, folder in captioners.items()}
    started = next(iter(texts.values()))["V"]
    found = {
        name: {view: _measured(each, started, films) for view, each in views.items()} for name, views in texts.items()
    }
    return {"films": len(films), "captioners": found, "table": list(msrvtt_table(found))}


def stored_memory(store: Path, captions: Path, films: Sequence[HeldOut]) -> Memory:
    """Return the memories of these films, side by side, that `pseudocap encode` stored of rows of captions."""
    rows = {row.video.removesuffix(".mp4"): row for row in read_own(captions).rows}
    source = MemoryRows([rows[film.key] for film in films], MemorySource(store))
    memory = collate([source.sample(number, None) for number in range(len(films))], [""] * len(films)).memory
    assert memory is not None, "they come from memories"
    return memory


def _captions(folder: Path, memory: Memory, films: Sequence[ToyFilm]) -> dict[str, dict[str, str]]:
    model = PseudoCap.from_pretrained(folder, device="cpu")
    groups = ("V", "AV") if model.config.hears else ("V",)
    return caption_views(model, {group: memory.only(group.lower()) for group in groups}, films, groups)


def _measured(captions: Mapping[str, str], started: Mapping[str, str], films: Sequence[ToyFilm]) -> dict[str, Any]:
    references = references_of(films)
    scores = score(predictions=captions, references=references, metrics=(METRIC,), bootstrap=1000)
    change = compare(predictions=captions, baseline=started, references=references, metrics=(METRIC,))[METRIC]
    return {
        METRIC: round(scores[METRIC], 2),
        "interval": rounded_intervals(scores, 2)[METRIC],
        "change": round(change.value, 2),
        "interval of the change": [round(change.interval.low, 2), round(change.interval.high, 2)],
        "true": truth(verdicts_on(captions, films))["correct"],
    }


def msrvtt_table(found: Found) -> Iterator[str]:
    """Yield the comparison as a Markdown table: every run, and the means over seeds."""
    started, *runs = found
    yield f"| captioner | is given | {METRIC} (95 % over films) | less {started} (95 % over films) | true captions |"
    yield "|---|---|---|---|---|"
    for name, views in found.items():
        for view, each in views.items():
            change = "" if name == started else f"{each['change']:+.1f} ({_signed(each['interval of the change'])})"
            scored = f"{each[METRIC]:.1f} ({_range(each['interval'])})"
            yield f"| {name} | {view} | {scored} | {change} | {each['true']:.1f} % |"
    for kind in dict.fromkeys(name.rpartition("-")[0] for name in runs):
        own = [found[name] for name in runs if name.rpartition("-")[0] == kind]
        for view in own[0]:
            changes = [views[view]["change"] for views in own]
            mean, interval = mean_over_seeds(changes)
            over = "" if interval is None else f" ({_signed((interval.low, interval.high))} over seeds)"
            scores = statistics.fmean(views[view][METRIC] for views in own)
            true = statistics.fmean(views[view]["true"] for views in own)
            yield f"| {kind}, mean of {len(own)} | {view} | {scores:.1f} | {mean:+.1f}{over} | {true:.1f} % |"


def _range(limits: Sequence[float]) -> str:
    return f"{limits[0]:.1f} to {limits[1]:.1f}"


def _signed(limits: Sequence[float]) -> str:
    return f"{limits[0]:+.1f} to {limits[1]:+.1f}"
