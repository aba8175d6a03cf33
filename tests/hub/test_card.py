"""The page of a captioner: valid to the hub, true to config and results, and open about its limits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from pseudocap import PseudoCap
from pseudocap.hub.card import MARK, About, card_text
from pseudocap.model.config import Backbone, PseudoCapConfig

CONFIG = PseudoCapConfig(
    decoder=Backbone(source="facebook/opt-1.3b", revision="c" * 40, fingerprint="d" * 64, tokenizer="e" * 64),
    encoders={"video": Backbone(source="pseudocap://toy-timesformer", fingerprint="f" * 64)},
    adapter_layers=(12, 14),
)
RESULTS: dict[str, Any] = {
    "regime": "MixedExtended",
    "step": 40_000,
    "split": "test",
    "scores": {"CIDEr-D": 54.321, "BLEU-4": 41.0},
    "intervals": {"CIDEr-D": [50.5, 58.25]},
    "videos": 2990,
    "data": {
        "corpus": "msrvtt",
        "content_sha256": "a" * 64,
        "splits": {"test": {"videos": 2990, "captions": 59800, "ids_sha256": "b" * 64}},
    },
    "command": "pseudocap bench model mine",
    "pseudocap": "0.1.0",
}


def test_the_page_is_a_valid_model_card_with_its_scores_as_the_hub_reads_them() -> None:
    card = ModelCard(card_text(CONFIG, RESULTS, About(name="owner/mine", license="apache-2.0")))
    data = card.data
    assert (data.language, data.license, data.library_name) == ("en", "apache-2.0", "pseudocap")
    assert data.base_model == ["facebook/opt-1.3b"]  # what the package ships is no repo
    assert data.model_name == "owner/mine"
    told = {result.metric_name: (result.metric_value, result.dataset_split) for result in data.eval_results}
    assert told == {"CIDEr-D": (54.32, "test"), "BLEU-4": (41.0, "test")}
    assert ModelCard(str(card)).data.to_dict() == data.to_dict()


def test_every_figure_of_the_page_stands_in_config_or_results() -> None:
    """It must not invent any."""
    page = card_text(CONFIG, RESULTS, About(name="owner/mine", license="mit"))
    known = json.dumps([RESULTS, CONFIG.to_dict()])
    known += " 54.32 54.3 41.00 50.50 2,990 59,800 40,000 100 95 3"  # as they are printed; the columns' heads
    for figure in re.findall(r"(?<![\w.])\d[\d.,]*\d|(?<![\w.-])\d(?![\w.])", page):
        assert figure.rstrip(".,") in known, figure
    for part in (
        "c" * 40,
        "d" * 16,
        "b" * 64,
        "a" * 64,
        "50.50 to 58.25",
        "not computed",
        "pseudocap bench model mine",
    ):
        assert part in page


def test_the_page_of_a_toy_says_that_it_is_one() -> None:
    assert "**This captioner is a toy: " in card_text(CONFIG, RESULTS)  # its encoder is
    real = CONFIG.with_backbones(encoder=Backbone(source="pseudocap://efficientnet-lite0", fingerprint="f" * 64))
    assert "is a toy" not in card_text(real, RESULTS)


def test_without_results_the_page_says_so() -> None:
    page = card_text(CONFIG, {})
    assert "None were recorded." in page
    assert "Not recorded." in page
    assert "named no licence" in page
    assert ModelCard(page).data.eval_results is None


def test_limits_and_biases_of_the_papers_are_named_whatever_the_scores() -> None:
    for results in ({}, RESULTS):
        page = card_text(CONFIG, results)
        for word in (
            "hallucinate", "misses actions", "hears nothing", "accents", "race, gender and culture", "English only",
        ):  # fmt: skip
            assert word in page


def test_saving_writes_the_page_anew_unless_somebody_made_it_their_own(model: PseudoCap, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path, results={"scores": {"CIDEr-D": 12.0}, "videos": 3})
    card = tmp_path / "README.md"
    assert "| CIDEr-D | 12.00 |" in card.read_text()
    assert json.loads((tmp_path / "results.json").read_text())["scores"] == {"CIDEr-D": 12.0}
    model.save_pretrained(tmp_path)  # other weights, of which nothing is known
    assert "12.00" not in card.read_text()
    assert "scores" not in json.loads((tmp_path / "results.json").read_text())
    card.write_text(card.read_text().replace(MARK, "") + "\nMy own words.\n")
    model.save_pretrained(tmp_path)
    assert "My own words." in card.read_text()


def test_a_directory_of_this_machine_is_not_told(model: PseudoCap, backbones: Path, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "checkpoint")
    page = (tmp_path / "checkpoint" / "README.md").read_text()
    assert str(backbones) not in page
    assert "`opt`" in page


@pytest.mark.parametrize("name", ["toy: mixed", "a'b", "x # y"])
def test_a_strange_name_leaves_the_metadata_valid(name: str) -> None:
    assert ModelCard(card_text(CONFIG, RESULTS, About(name=name))).data.model_name == name
