"""A captioner of several languages: each is asked for by a prompt, and learned from rows that name theirs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.running import FAST
from helpers.small_worlds import write_world

from pseudocap import PseudoCap
from pseudocap.cli.main import main
from pseudocap.data import CaptionData
from pseudocap.decoding import FileDecoding
from pseudocap.errors import ConfigError, InputError
from pseudocap.languages import prompt_in
from pseudocap.regimes import FineTune
from pseudocap.regimes.finetune_run import fine_tune
from pseudocap.rows import row_line
from pseudocap.types import Batch

Build = Callable[..., PseudoCap]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films with captions in English and in Spanish."""
    folder = write_world(tmp_path_factory.mktemp("world"))
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    both = [
        row_line(video=row["video"], split=row["split"], caption=text, language=language)
        for row in rows
        for language, text in (("en", row["caption"][0]), ("es", "un cuadrado se mueve"))
    ]
    (folder / "both.jsonl").write_text("".join(both))
    return folder


@pytest.fixture(scope="module")
def tuned(build_from: Build, backbones: Path, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A captioner that has learned three steps of both languages."""
    out = tmp_path_factory.mktemp("tuned")
    data = CaptionData(world / "both.jsonl", batch_size=4, workers=0)
    options = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    fine_tune(FineTune(build_from(backbones / "opt"), optimisation=FAST), data, out, max_epochs=1, **options)
    return out / "best"


def test_a_row_of_each_language_is_asked_for_by_its_prompt_which_nothing_learns(build: Build, world: Path) -> None:
    model = build()
    data = CaptionData(world / "both.jsonl", batch_size=6, workers=0, preprocess=model.config.preprocess)
    data.setup("fit")
    batch: Batch = next(iter(data.train_dataloader()))
    assert set(batch.prompts) == {"in english:", "in spanish:"}
    for caption, prompt in zip(batch.captions, batch.prompts, strict=True):
        assert (prompt == "in spanish:") == (caption == "un cuadrado se mueve")
    tokens = model.tokenize(batch.captions, batch.prompts)
    for caption, labels in zip(batch.captions, tokens.labels, strict=True):
        learned = model.tokenizer.decode(labels[labels >= 0], skip_special_tokens=True)
        assert learned.strip() == caption, "nothing of the prompt"
    assert {key[-3:] for key in batch.keys} == {"@en", "@es"}


def test_a_mix_draws_batches_of_one_language_by_seed_rank_and_step(build: Build, world: Path) -> None:
    preprocess = build().config.preprocess

    def drawn(seed: int, **mix: float) -> list[set[str]]:
        options = {"batch_size": 2, "workers": 0, "seed": seed, "preprocess": preprocess}
        data = CaptionData(world / "both.jsonl", language_mix=mix, **options)
        data.setup("fit")
        loader = iter(data.train_dataloader())
        return [set(next(loader).prompts) for _ in range(5)]

    of_seeds = [drawn(seed, en=0.5, es=0.5) for seed in range(4)]
    assert drawn(0, en=0.5, es=0.5) == of_seeds[0]
    assert all(len(prompts) == 1 for prompts in of_seeds[0])
    assert len({tuple(map(tuple, prompts)) for prompts in of_seeds}) > 1
    assert drawn(0, es=1.0, en=0.0) == [{"in spanish:"}] * 5
    with pytest.raises(ConfigError, match="language_mix names de, and the captions' languages are en, es"):
        drawn(0, de=1.0)


def test_what_was_learned_is_recorded_and_asked_for(tuned: Path, world: Path) -> None:
    model = PseudoCap.from_pretrained(tuned, device="cpu")
    assert model.config.languages == ("en", "es")
    film = next(world.glob("*.mp4"))
    clip = model.take_file(film, FileDecoding()).seen
    memory = model.encode_clips([clip])
    for code in ("en", "es"):
        options = FileDecoding().generate_options()
        assert [model.caption(film, language=code)] == model.describe(memory, prompt=prompt_in(code), **options)
    assert model.caption(film) == model.caption(film, language="en"), "its first"
    with pytest.raises(InputError, match="has not learned to write 'de': it has learned en, es"):
        model.caption(film, language="de")


def test_a_captioner_of_one_language_refuses_to_be_asked_and_stores_nothing_new(build: Build, tmp_path: Path) -> None:
    model = build()
    with pytest.raises(InputError, match="has not learned to write 'es': it writes one language alone"):
        model.caption("film.mp4", language="es")
    assert "languages" not in model.config.to_dict()
    with pytest.raises(ConfigError, match="'xx' is not the code of a language"):
        model.learn_languages(["xx"])


def test_caption_takes_the_language_on_the_command_line(
    tuned: Path, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = next(world.glob("*.mp4"))
    words = ["caption", str(film), "--checkpoint", str(tuned), "--device", "cpu"]
    assert main([*words, "--language", "es"]) == 0
    printed = capsys.readouterr().out.strip()
    assert printed == PseudoCap.from_pretrained(tuned, device="cpu").caption(film, language="es")
    assert main([*words, "--language", "de"]) == 2
    err = capsys.readouterr().err
    assert "has not learned to write it: it has learned en, es" in err
    assert err.count("\n") == 1
