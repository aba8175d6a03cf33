"""apertium, the program itself; skipped where it is not installed."""

from __future__ import annotations

import shutil

import pytest

from pseudocap.errors import ConfigError
from pseudocap.label.translators.base import load_translator

installed = pytest.mark.skipif(shutil.which("apertium") is None, reason="apertium is not installed")
TEXTS = ["the green", "house is", "a man is riding a horse", "", "A dog is running.", "a bird behind an orange chest"]


@installed
def test_texts_are_translated_each_for_itself_in_their_order() -> None:
    apertium = load_translator("apertium", source="en", target="es")
    found = apertium.translate(TEXTS)
    assert found[:2] == [apertium.translate([text])[0] for text in TEXTS[:2]], "together: la casa, verde es"
    assert found[2:5] == ["un hombre está montando un caballo", "", "Un perro está corriendo."]
    assert not any(mark in " ".join(found) for mark in "*#@")
    assert apertium.translate([]) == []
    assert apertium.revision is not None
    assert "eng-spa" in apertium.revision


@installed
def test_a_pair_that_is_not_installed_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"no pair eng-swh here; it has .*eng-spa.*apt search apertium-"):
        load_translator("apertium", source="en", target="sw")


def test_where_there_is_no_apertium_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="apt install apertium-eng-spa"):
        load_translator("apertium", source="en", target="es")
