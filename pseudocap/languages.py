"""Know languages by their code: names, the codes of translators, scripts, and whether words stand apart."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from pseudocap.errors import ConfigError, nearest

LATIN, CYRILLIC, ARABIC = ("LATIN",), ("CYRILLIC",), ("ARABIC",)
CHINESE, JAPANESE = ("CJK",), ("CJK", "HIRAGANA", "KATAKANA")


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageFacts:
    """Describe a language. `flores` is its code in NLLB, whose first three letters are ISO 639-3's and apertium's;
    `scripts` are the first words of its letters' names in Unicode; `density` is how many characters a text has for one
    in English, roughly; `spaced` whether spaces are between its words."""

    code: str
    name: str
    flores: str
    scripts: tuple[str, ...] = LATIN
    density: float = 1.0
    spaced: bool = True
    right_to_left: bool = False


LANGUAGES: dict[str, LanguageFacts] = {
    facts.code: facts
    for facts in (
        LanguageFacts(code="en", name="English", flores="eng_Latn"),
        LanguageFacts(code="de", name="German", flores="deu_Latn", density=1.15),
        LanguageFacts(code="fr", name="French", flores="fra_Latn", density=1.15),
        LanguageFacts(code="ru", name="Russian", flores="rus_Cyrl", scripts=CYRILLIC),
        LanguageFacts(code="es", name="Spanish", flores="spa_Latn", density=1.15),
        LanguageFacts(code="cs", name="Czech", flores="ces_Latn", density=0.9),
        LanguageFacts(code="sw", name="Swahili", flores="swh_Latn"),
        LanguageFacts(code="zh", name="Chinese", flores="zho_Hans", scripts=CHINESE, density=0.3, spaced=False),
        LanguageFacts(code="vi", name="Vietnamese", flores="vie_Latn"),
        LanguageFacts(code="ca", name="Catalan", flores="cat_Latn", density=1.1),
        LanguageFacts(code="it", name="Italian", flores="ita_Latn", density=1.1),
        LanguageFacts(code="pt", name="Portuguese", flores="por_Latn", density=1.1),
        LanguageFacts(code="nl", name="Dutch", flores="nld_Latn", density=1.1),
        LanguageFacts(code="sv", name="Swedish", flores="swe_Latn"),
        LanguageFacts(code="pl", name="Polish", flores="pol_Latn"),
        LanguageFacts(code="tr", name="Turkish", flores="tur_Latn"),
        LanguageFacts(code="uk", name="Ukrainian", flores="ukr_Cyrl", scripts=CYRILLIC),
        LanguageFacts(code="el", name="Greek", flores="ell_Grek", scripts=("GREEK",), density=1.15),
        LanguageFacts(code="id", name="Indonesian", flores="ind_Latn", density=1.1),
        LanguageFacts(code="hi", name="Hindi", flores="hin_Deva", scripts=("DEVANAGARI",)),
        LanguageFacts(code="ja", name="Japanese", flores="jpn_Jpan", scripts=JAPANESE, density=0.45, spaced=False),
        LanguageFacts(code="ko", name="Korean", flores="kor_Hang", scripts=("HANGUL",), density=0.5),
        LanguageFacts(code="ar", name="Arabic", flores="arb_Arab", scripts=ARABIC, density=0.85, right_to_left=True),
        LanguageFacts(code="fa", name="Persian", flores="pes_Arab", scripts=ARABIC, density=0.9, right_to_left=True),
        LanguageFacts(
            code="he", name="Hebrew", flores="heb_Hebr", scripts=("HEBREW",), density=0.75, right_to_left=True
        ),
    )
}


def language_facts(code: str) -> LanguageFacts:
    """Return what is known of a language; ConfigError for a code that is not among them."""
    if code not in LANGUAGES:
        raise ConfigError(
            f"{code!r} is not the code of a language that Pseudocap knows{nearest(code, LANGUAGES)}; "
            f"it knows {', '.join(LANGUAGES)}"
        )
    return LANGUAGES[code]


def prompt_in(code: str) -> str:
    """Return the prompt that captions in a language continue: what a captioner of several is asked by."""
    return f"in {language_facts(code).name.lower()}:"


def share_in_script(text: str, facts: LanguageFacts) -> float:
    """Return the share of the letters of a text that are of the language's scripts; 1 where it has no letter."""
    letters = [unicodedata.name(letter, "").split(" ")[0].split("-")[0] for letter in text if letter.isalpha()]
    return sum(script in facts.scripts for script in letters) / len(letters) if letters else 1.0
