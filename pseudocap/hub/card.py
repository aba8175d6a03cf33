"""Write the page of a published captioner from its config and results. It states what these report, and no more.

The limits are those that the papers name for everything trained their way; they hold whatever the scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pseudocap.files.sources import REPO, SHIPPED_SCHEME, resolve_source
from pseudocap.hub.toys import toy_notice
from pseudocap.model.config import CONTEXT, Backbone, PseudoCapConfig
from pseudocap.model.retrieval_config import RetrieverConfig
from pseudocap.regimes.table import BY_CLASS, REGIMES

MARK = "<!-- pseudocap writes this page anew at every save; delete this line to keep a text of your own -->"
LIMITS = """\
- **It makes things up.** The image captioners that write the pseudolabels hallucinate and err, and a captioner learns
  their errors; it may name things, people and actions that are not there. Do not rely on a caption unseen.
- **It misses actions.** A pseudolabel is made from one frame, which shows neither cause and effect nor the order of
  events; there is no fine grounding in time. Objects and scenes are named better than what happens.
{hearing}
- **Bias.** Web images, alt text and web video carry bias of race, gender and culture, frozen language models carry that
  of their text, and labelling at scale amplifies it. What helps in part: counterfactual augmentation of the data, and
  filtering of the captions afterwards.
- **English only**, and no judgement about who is seen: not for identifying people, for surveillance, or for decisions
  about anybody.
- Scores such as CIDEr compare words with those of a few people; a high one does not mean that captions are true."""

DEAF = """\
- **It hears nothing.** Speech, music and noises are not used, so it is unfit to describe video for people who are hard
  of hearing, and it misses what only sound tells. Where it learned from transcripts, speech recognition errs more on
  some accents than on others."""
HEARS = """\
- **It hears sounds, not words.** Noises and music inform its captions; what is said is not written down, so it is unfit
  to describe video for people who are hard of hearing. A sound whose source is not in the picture may be given to
  something that is."""

BACKBONES = "The backbones are loaded from their own places, under their own licences."
USE = """\
```python
from pseudocap import PseudoCap

model = PseudoCap.from_pretrained("{name}")
print(model.caption("clip.mp4"))
```"""

RETRIEVER_WHAT = (
    "Finds videos and images by text. These are the towers only, for Pseudocap; the networks that they read are not in "
    "this repo, and are compared with what is recorded here before anything is embedded."
)
RETRIEVER_USE = """\
```bash
pseudocap index videos/ --retriever {name} --out index/
pseudocap search "a dog runs on a beach" --index index/
```"""


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """Hold what the files of a checkpoint do not record: its name, and the terms under which it is published."""

    name: str | None = None
    license: str | None = None


UNKNOWN = About()


def card_text(config: PseudoCapConfig, results: Mapping[str, Any], about: About = UNKNOWN) -> str:
    """Return the complete page: metadata as the hub reads it, then text."""
    title = about.name or "a video captioner"
    tags = ["video-captioning", "pseudolabels", "adapters", f"fusion-{config.fusion}"]
    fields = {"language": "en", "pipeline_tag": "video-text-to-text", "eval_results": _eval_results(results) or None}
    metadata = _metadata(config, about, model_name=title, tags=tags, **fields)
    use = USE.format(name=about.name or "DIRECTORY")
    terms = f"The adapters: {about.license}." if about.license else "Whoever published these adapters named no licence."
    lines = ["---", metadata, "---", "", MARK, "", f"# {title}", "", *_what(config, results), ""]
    lines += ["## How to use it", "", use, "", "## Scores", "", *_scores(results), ""]
    lines += ["## Data", "", *_data(results), "", "## Limits and biases", "", _limits(config), ""]
    lines += ["## Licence", "", terms, BACKBONES, ""]
    return "\n".join(lines)


def retriever_card(config: RetrieverConfig, results: Mapping[str, Any], about: About = UNKNOWN) -> str:
    """Return the complete page of a retriever."""
    title = about.name or "a video retriever"
    tags = ["video-text-retrieval", f"similarity-{config.similarity}"]
    metadata = _metadata(config, about, model_name=title, tags=tags, pipeline_tag="feature-extraction")
    size, terms = config.preprocess, about.license or "Whoever published these weights named no licence."
    name = about.name or "DIRECTORY"
    notice = toy_notice("This retriever", config)
    lines = ["---", metadata, "---", "", MARK, "", f"# {title}", "", *((f"**{notice}.**", "") if notice else ())]
    lines += [RETRIEVER_WHAT, "", "| | |", "|---|---|"]
    lines += [f"| {which} | {_backbone(backbone)} |" for which, backbone in config.backbones.items()]
    lines += [f"| vectors | {config.dim} values, {config.similarity} similarity |"]
    lines += [f"| sees | {size.frames} frames of {size.size} x {size.size} pixels, {config.clips} clips of a file |"]
    lines += ["", "## How to use it", "", RETRIEVER_USE.format(name=name), "", "## Scores", "", *_scores(results), ""]
    lines += ["## Data", "", *_data(results), "", "## Licence", "", terms, BACKBONES, ""]
    return "\n".join(lines)


def _metadata(config: PseudoCapConfig | RetrieverConfig, about: About, **fields: Any) -> str:
    """Return the metadata of a page, with its licence and the backbones that are repos of the hub."""
    from huggingface_hub import ModelCardData

    sources = [resolve_source(each.source) for each in config.backbones.values() if not is_shipped(each)]
    named = " " in (about.license or "")  # no identifier that the hub knows
    data = ModelCardData(
        license="other" if named else about.license,
        license_name=about.license if named else None,
        library_name="pseudocap",
        base_model=[source for source in sources if REPO.fullmatch(source)] or None,
        **fields,
    )
    return data.to_yaml()


def is_shipped(backbone: Backbone) -> bool:
    return backbone.source.startswith(SHIPPED_SCHEME)


def may_write(card: Path) -> bool:
    """Return whether a page may be written there: none is, or one of ours that nobody has edited."""
    return not card.is_file() or MARK in card.read_text(encoding="utf-8", errors="replace")


def _what(config: PseudoCapConfig, results: Mapping[str, Any]) -> Iterator[str]:
    if notice := toy_notice("This captioner", config):
        yield from (f"**{notice}.**", "")
    perceived = "seen and heard" if config.hears else "seen"
    yield (
        f"Describes what is {perceived} in a video, in one English sentence. These are the adapters only, for "
        f"Pseudocap; the {'three' if config.hears else 'two'} networks that they stand between are frozen, are not "
        "in this repo, and are compared with what is recorded here before anything is captioned."
    )
    yield ""
    yield "| | |"
    yield "|---|---|"
    state = "trained" if config.learn_decoder else "frozen"
    yield f"| decoder (writes), {state} | {_backbone(config.decoder)} |"
    for modality, backbone in config.encoders.items():
        yield f"| encoder ({modality}), frozen | {_backbone(backbone)} |"
    layers = ", ".join(str(layer) for layer in config.adapter_layers)
    looks = f"{config.attention} attention, " if config.needs_patches else ""  # the separable one goes without saying
    if config.attention == CONTEXT:
        yield "| reads | the memory's vectors before the words, in the decoder's own attention |"
    else:
        yield f"| adapters | {looks}{config.fusion} fusion, {config.gate} gates, before decoder layers {layers} |"
    yield f"| sees | {config.preprocess.frames} frames of {config.preprocess.size} x {config.preprocess.size} pixels |"
    if (sound := config.sound_preprocess) is not None:
        yield f"| hears | windows of {sound.seconds:.2f} s at {sound.rate:,} samples a second |"
    regime = results.get("regime")
    if regime and not results.get("trained_on"):  # which says it, below
        row = BY_CLASS.get(str(regime)) or REGIMES.get(str(regime))
        yield f"| learned from | {row.learns_from if row else regime} |"
    if results.get("step") is not None:
        yield f"| optimiser steps | {results['step']:,} |"
    if results.get("started_from"):
        yield f"| started from | `{results['started_from']}` |"
    if results.get("pseudocap"):
        yield f"| made with | pseudocap {results['pseudocap']} |"


def _limits(config: PseudoCapConfig) -> str:
    return LIMITS.format(hearing=HEARS if config.hears else DEAF)


def _backbone(backbone: Backbone) -> str:
    revision = f", revision `{backbone.revision}`" if backbone.revision else ""
    source = backbone.source if not Path(backbone.source).is_absolute() else Path(backbone.source).name
    return f"`{source}`{revision}, fingerprint `{backbone.fingerprint[:16]}`"


def _scores(results: Mapping[str, Any]) -> Iterator[str]:
    scores = results.get("scores") or {}
    if not scores:
        yield "None were recorded."
        return
    intervals = results.get("intervals") or {}
    parts = ((results.get("data") or {}).get("corpus"), results.get("split"))
    where = " ".join(str(part) for part in parts if part)
    count, what = results.get("videos", 0), results.get("unit", "videos")
    yield f"On {count:,} {what}{f' of {where}' if where else ''}, value x 100; intervals are 95 %."
    yield ""
    yield "| metric | value | interval |"
    yield "|---|---|---|"
    for name, value in scores.items():
        low_high = intervals.get(name)
        yield f"| {name} | {value:.2f} | {f'{low_high[0]:.2f} to {low_high[1]:.2f}' if low_high else 'not computed'} |"
    if results.get("command"):
        yield from ("", "The command:", "", "```bash", str(results["command"]), "```")


def _data(results: Mapping[str, Any]) -> Iterator[str]:
    data = results.get("data") or {}
    if not data:
        yield "Not recorded."
        return
    if data.get("corpus"):
        yield f"Corpus `{data['corpus']}`, content sha256 `{data.get('content_sha256', 'not recorded')}`."
    if learned := results.get("trained_on"):
        yield from ("", "It has learned from", "", *(f"- {each}" for each in learned))
    splits = data.get("splits") or {}
    if splits:
        yield from ("", "| split | videos | captions | sha256 of its ids |", "|---|---|---|---|")
        for name, split in splits.items():
            yield f"| {name} | {split['videos']:,} | {split['captions']:,} | `{split['ids_sha256']}` |"
    sources = data.get("sources") or {}
    if sources:
        yield from ("", "| source | samples | identity |", "|---|---|---|")
        for name, source in sources.items():
            yield f"| {name} | {source['samples']:,} | `{source['identity']}` |"


def _eval_results(results: Mapping[str, Any]) -> list[Any]:
    """Return the scores as the hub's `model-index` has them."""
    from huggingface_hub import EvalResult

    data = results.get("data") or {}
    corpus = str(data.get("corpus") or "unnamed")
    return [
        EvalResult(
            task_type="video-captioning",
            dataset_type=corpus,
            dataset_name=corpus,
            dataset_split=results.get("split"),
            metric_type=name.lower(),
            metric_name=name,
            metric_value=round(float(value), 2),
        )
        for name, value in (results.get("scores") or {}).items()
    ]
