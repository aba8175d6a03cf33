"""Questions about files, answered by captioners of ours and by models of transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.image_text_models import write_blip2, write_git, write_smolvlm
from helpers.loud_weights import with_loud_weights
from helpers.shaded_films import write_film
from helpers.sounding import Track, write_sounding
from helpers.tiny_ast import write_ast
from PIL import Image

from pseudocap import PseudoCap, load
from pseudocap.errors import DecodeError, InputError, NoSoundError
from pseudocap.questions import prompt_of

ASKED = ["Who runs", "which way does the dog go?", "what is on the grass?"]
SHORT = {"max_new_tokens": 6}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4", seconds=3)


def test_an_answer_is_the_caption_that_follows_the_question(build: Callable[..., PseudoCap], film: Path) -> None:
    model = with_loud_weights(build(), std=0.8, seed=3)
    answers = model.ask(film, ASKED, **SHORT)
    assert answers == [model.caption(film, prompt=prompt_of(question), **SHORT) for question in ASKED]
    assert len(set(answers)) > 1
    assert model.ask(film, ASKED, batch_size=2, **SHORT) == answers
    assert model.ask(str(film), ASKED[0], **SHORT) == answers[0]
    assert model.ask(film, "who runs?", **SHORT) == answers[0]


def test_a_picture_is_asked_about(model: PseudoCap, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "still.png")
    assert model.ask(tmp_path / "still.png", ASKED[:1], **SHORT) == [
        model.caption(tmp_path / "still.png", prompt="who runs?", **SHORT)
    ]


def test_what_cannot_be_asked_is_refused_before_a_file_is_read(model: PseudoCap, tmp_path: Path) -> None:
    gone = tmp_path / "gone.mp4"
    with pytest.raises(InputError, match=r"the question '\?' has no words"):
        model.ask(gone, ["who?", "?"])
    with pytest.raises(InputError, match="there is no question"):
        model.ask(gone, [])
    with pytest.raises(InputError, match="does not hear: modalities is 'a'"):
        model.ask(gone, "who?", modalities="a")
    with pytest.raises(DecodeError):
        model.ask(gone, "who?")


def test_what_hears_answers_by_what_it_is_given(backbones: Path, tmp_path: Path) -> None:
    model = PseudoCap.from_backbones(
        decoder=backbones / "opt",
        encoder=backbones / "timesformer",
        audio_encoder=write_ast(tmp_path / "ast"),
        adapter_layers=(1, 2, 3),
        device="cpu",
    )
    model = with_loud_weights(model, std=0.8, seed=3)
    loud = write_sounding(tmp_path / "loud.mp4", Track())
    for given in (None, "av", "v", "a"):
        expected = model.caption(loud, prompt="what is heard?", modalities=given, **SHORT)
        assert model.ask(loud, "what is heard?", modalities=given, **SHORT) == expected
    assert model.ask(loud, "what is heard?", modalities="v", **SHORT) != model.ask(loud, "what is heard?", **SHORT)
    with pytest.raises(NoSoundError):
        model.ask(write_sounding(tmp_path / "silent.mp4"), "what is heard?", modalities="a")


def test_models_of_transformers_are_asked_as_they_were_taught(film: Path, tmp_path: Path) -> None:
    for write, name, prompt in (
        (write_git, "git", "who runs?"),
        (write_blip2, "blip2", "Question: who runs? Answer:"),
        (write_smolvlm, "smolvlm", "who runs?"),
    ):
        write(tmp_path / name)
        model = load(tmp_path / name, device="cpu")
        assert model.ask(film, ["who runs"], **SHORT) == [model.caption(film, prompt=prompt, **SHORT)], name


def test_a_model_that_only_captions_says_so_before_a_file_is_read(blip_folder: Path) -> None:
    model = load(blip_folder, device="cpu")
    with pytest.raises(
        InputError, match=r"is a blip, which answers no questions: name a chat-style model, one of git,"
    ):
        model.ask("gone.mp4", "who runs?")
