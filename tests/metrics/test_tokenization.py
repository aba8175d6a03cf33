"""Tokens by language, and scores that name them."""

from __future__ import annotations

import re

import pytest

from pseudocap.errors import ConfigError
from pseudocap.metrics.references import References
from pseudocap.metrics.suite import score
from pseudocap.metrics.tokenization import CHARACTERS, PTB, WORDS, characters, tokenization, words

TEXTS = [
    "Un perro corre, ¿verdad?", "Ein süßer Hund läuft nach links.", "L'homme qu'on voit est là-bas!", "Собака бежит.",
    "Жёлтый мяч (большой)", "un pingüino; dos águilas", "Zwei Bälle – rot/blau",
]  # fmt: skip


def test_each_language_has_the_tokens_of_its_script() -> None:
    assert tokenization("en")[0] == PTB
    assert {tokenization(code)[0] for code in ("zh", "ja")} == {CHARACTERS}
    assert {tokenization(code)[0] for code in ("es", "de", "ru", "sw", "vi", "ko", "hi")} == {WORDS}
    assert words("Un perro corre, ¿verdad?") == "un perro corre verdad"
    assert words("L'homme qu'on voit là-bas -- 'oui'") == "l'homme qu'on voit là-bas oui"
    assert words("एक कुत्ता दौड़ता है।") == "एक कुत्ता दौड़ता है"
    assert words("cafe\u0301") == words("café") == "café"
    assert characters("一只狗在跑。") == "一 只 狗 在 跑"
    assert characters("犬がボールで遊ぶ、DVD 2枚！") == "犬 が ボ ー ル で 遊 ぶ dvd 2 枚"
    assert characters("ＤＶＤ") == "dvd"
    with pytest.raises(ConfigError, match="'xx' is not the code"):
        tokenization("xx")


def test_they_are_those_of_sacrebleu_without_punctuation() -> None:
    pytest.importorskip("sacrebleu")
    from sacrebleu.tokenizers.tokenizer_intl import TokenizerV14International
    from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

    def kept(text: str) -> list[str]:
        return [token for token in text.lower().split() if re.search(r"\w", token)]

    for text in TEXTS:
        ours = re.sub(r"['-]", " ", words(text)).split()  # which sacrebleu takes apart
        assert ours == kept(TokenizerV14International()(text)), text
    for text in ("一只狗在跑。", "一个人穿着NIKE鞋，在踢2个球！", "他说：“好的”"):
        assert characters(text).split() == kept(TokenizerZh()(text)), text


def test_a_score_by_characters_sees_what_one_by_words_cannot() -> None:
    references = {"a": ["一只狗在草地上跑", "狗在跑"], "b": ["一个人在切菜", "有人切菜"]}
    predictions = {"a": "一只狗在跑", "b": "一个人切菜"}
    chinese = score(predictions=predictions, references=references, language="zh")
    assert chinese.tokenization == CHARACTERS
    assert str(chinese).startswith("2 videos, all of the references; tokens: characters\n")
    assert chinese["ROUGE-L"] > 70
    assert score(predictions=predictions, references=references, language="es")["ROUGE-L"] == 0.0
    spaced = {video: [characters(text) for text in texts] for video, texts in references.items()}
    again = score(predictions={video: characters(text) for video, text in predictions.items()}, references=spaced)
    assert dict(again) == pytest.approx(dict(chinese)), "the same as coco-caption's of texts with spaces"
    assert again.tokenization == PTB
    assert score(predictions=predictions, references=References(references, language="zh")) == chinese


def test_metrics_with_english_words_are_not_computed_of_others() -> None:
    found = score(predictions={"a": "un perro"}, references={"a": ["un perro"]}, metrics=["METEOR"], language="es")
    assert found.not_computed == {"METEOR": "its words are English, and the captions are in Spanish"}
