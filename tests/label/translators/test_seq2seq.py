"""Translators of transformers, on tiny real checkpoints in their published formats."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.hub_server import close_hub
from helpers.tiny_translators import TEXTS, write_m2m, write_marian, write_mbart, write_nllb

from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.label.translators import seq2seq
from pseudocap.label.translators.seq2seq import Seq2SeqTranslator
from pseudocap.languages import LANGUAGES

NEW_TOKENS = 8
FORMS = ("marian", "multi", "m2m", "nllb", "mbart")


@pytest.fixture(scope="module", autouse=True)
def few_tokens() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seq2seq, "NEW_TOKENS", NEW_TOKENS)
        yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translators")
    write_marian(folder / "marian")
    write_marian(folder / "multi", codes=(">>spa<<", ">>deu<<"), pair=None)
    write_m2m(folder / "m2m")
    write_nllb(folder / "nllb")
    write_mbart(folder / "mbart")
    return folder


def translator(folder: Path, form: str, target: str = "es", **options: int) -> Seq2SeqTranslator:
    return Seq2SeqTranslator(str(folder / form), source="en", target=target, **options)


@pytest.mark.parametrize("form", FORMS)
def test_batches_are_translated_as_each_text_alone(tiny: Path, form: str) -> None:
    texts = [*TEXTS[:3], "", TEXTS[0]]
    together = translator(tiny, form, batch_size=3, beams=2).translate(texts)
    alone = translator(tiny, form, batch_size=1, beams=2)
    assert together == [alone.translate([text])[0] for text in texts]
    assert together[3] == ""
    assert together[0] == together[4]
    assert len(set(together)) > 2, "what is written depends on the text"


@pytest.mark.parametrize(
    ("form", "asked", "target"),
    [("m2m", "en", "__es__"), ("nllb", "eng_Latn", "spa_Latn"), ("mbart", "en_XX", "es_XX")],
)
def test_a_model_of_many_languages_is_asked_as_its_documentation_says(
    tiny: Path, form: str, asked: str, target: str
) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny / form, src_lang=asked)
    model = AutoModelForSeq2SeqLM.from_pretrained(tiny / form, dtype=torch.float32).eval()
    inputs = tokenizer(TEXTS[:1], return_tensors="pt")
    first = tokenizer.convert_tokens_to_ids(target)
    ids = model.generate(**inputs, forced_bos_token_id=first, num_beams=2, max_new_tokens=NEW_TOKENS, max_length=None)
    assert ids[0, 1] == first
    expected = tokenizer.batch_decode(ids[:, 2:], skip_special_tokens=True)
    both_ways = translator(tiny, form, beams=2)
    Seq2SeqTranslator(str(tiny / form), source="es", target="en", beams=2).translate(TEXTS[3:4])  # shares the tokenizer
    assert both_ways.translate(TEXTS[:1]) == [" ".join(text.split()) for text in expected]
    german = translator(tiny, form, target="de", beams=2).translate(TEXTS[:3])
    assert german != both_ways.translate(TEXTS[:3])


def test_a_marian_of_several_targets_gets_the_target_before_the_text(tiny: Path) -> None:
    spanish, german = (translator(tiny, "multi", target=code, beams=1) for code in ("es", "de"))
    assert (spanish._prefix, german._prefix) == (">>spa<< ", ">>deu<< ")
    assert translator(tiny, "marian")._prefix == ""


@pytest.mark.parametrize(
    ("target", "codes", "prefix"),
    [("zh", (">>cmn<<", ">>cmn_Hans<<"), ">>cmn_Hans<< "), ("ar", (">>acm<<", ">>ara<<"), ">>ara<< ")],
)
def test_a_marian_names_chinese_and_arabic_in_its_own_way(
    tmp_path: Path, target: str, codes: tuple[str, ...], prefix: str
) -> None:
    write_marian(tmp_path / "marian", codes=codes, pair=None)
    assert translator(tmp_path, "marian", target=target)._prefix == prefix


def test_every_language_that_mbart_has_is_found(tiny: Path) -> None:
    from transformers.models.mbart50.tokenization_mbart50 import FAIRSEQ_LANGUAGE_CODES

    known = {code.partition("_")[0] for code in FAIRSEQ_LANGUAGE_CODES} & {*LANGUAGES} - {"en"}
    assert {"de", "ru", "vi", "zh"} <= known
    for code in known:
        assert translator(tiny, "mbart", target=code)._token(code) in FAIRSEQ_LANGUAGE_CODES


@pytest.mark.parametrize(
    ("form", "target", "message"),
    [
        ("marian", "de", "does not translate from en to de; it has en to es"),
        ("multi", "sw", "does not translate from en to sw; it has spa, deu"),
        ("marian", "xx", "'xx' is not the code of a language"),
    ],
)
def test_a_language_that_it_does_not_have_is_refused(tiny: Path, form: str, target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        translator(tiny, form, target=target)


def test_a_folder_that_holds_no_translator_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be loaded as a translator"):
        Seq2SeqTranslator(str(tmp_path), source="en", target="es")


def test_where_the_hub_is_not_reached_the_reason_is_that(monkeypatch: pytest.MonkeyPatch) -> None:
    close_hub(monkeypatch)
    with pytest.raises(CheckpointError, match=r"could not be reached .*; go online once, or name a directory"):
        Seq2SeqTranslator("owner/en-es", source="en", target="es")
