"""What is known of languages."""

from __future__ import annotations

import pytest

from pseudocap.errors import ConfigError
from pseudocap.languages import LANGUAGES, language_facts, share_in_script

TEXTS = {
    "en": "a dog", "de": "ein süßer Hund", "fr": "un chien là", "ru": "собака бежит", "es": "el niño", "cs": "kůň",
    "sw": "mbwa anakimbia", "zh": "一只狗在跑", "vi": "một con chó", "ca": "el gos", "it": "il cane", "pt": "o cão",
    "nl": "een hond", "sv": "en hund på", "pl": "żółty pies", "tr": "köpek koşuyor", "uk": "їжак", "el": "σκύλος",
    "id": "seekor anjing", "hi": "एक कुत्ता", "ja": "犬がボールで", "ko": "개", "ar": "كلب", "fa": "سگ",
    "he": "כלב רץ",
}  # fmt: skip


def test_a_text_is_in_its_own_script_and_in_no_other() -> None:
    assert set(TEXTS) == set(LANGUAGES)
    for code, text in TEXTS.items():
        facts = language_facts(code)
        assert share_in_script(text, facts) == 1.0, code
        if facts.scripts != ("LATIN",):
            assert share_in_script("a dog runs", facts) == 0.0
    assert share_in_script("12, 3!", language_facts("zh")) == 1.0


def test_the_nine_languages_of_the_thesis_are_known_and_others_named() -> None:
    assert {"en", "de", "fr", "ru", "es", "cs", "sw", "zh", "vi"} <= set(LANGUAGES)
    with pytest.raises(ConfigError, match="'xx' is not the code of a language that Pseudocap knows; it knows en, de"):
        language_facts("xx")
