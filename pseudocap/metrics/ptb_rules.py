"""Define the patterns of Penn Treebank tokens as Java's tokenizer cuts them, a row each; `lexer.py` takes the longest.

How it was made: Java's tokenizer was run on enumerated and random strings (every string of up to four letters with a
dot, every pair and most triples of punctuation, every character up to 0xFFFF in ten positions), and the rows were
fitted to what it did. No source of a tokenizer was read for it. The first rows for telephone numbers, fractions,
addresses, e-mail and tags were guesses with their bounds; they were discarded and written again from tables of what
Java keeps in one piece: every length of every group of digits, every character in every position of an address or a
tag. The tables are run again by `test_groups_of_digits_*` and `test_addresses_and_tags_*`.

It is not the same automaton: about 1 random string in 500 and 1 rare character in 300 are cut otherwise
(docs/metrics.md lists the corners, test_tokenize.py counts them).

A row is (what the token is, what must stand behind it). What stands behind counts for the length but stays in the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache

LETTERS = frozenset(["Lu", "Ll", "Lt", "Lm", "Lo"])
MARKS = frozenset(["Mn", "Mc"])
SYMBOLS = frozenset(["So", "Sm", "Sc", "Sk", "No", "Po", "Ps", "Pe", "Pi", "Pf", "Pd", "Pc"])
LIKE_MARKS = frozenset("\u0375\u0384\u0385\u03f6\u055a\u055b\u055c\u055d\u055e\u055f")
HYPHENS = frozenset("\u058a\u2010\u2011")


def spans(text: str) -> frozenset[str]:
    """Return the characters of "7f9-888 970-df4", ends included."""
    ends = [[int(end, 16) for end in span.split("-")] for span in text.split()]
    return frozenset(chr(code) for low, high in ends for code in range(low, high + 1))


# Where Java's tokenizer drops letters, marks and symbols (Unicode has grown since, or it never knew them).
NO_LETTERS = spans(
    "528-52f 860-88e 8ad-8c9 de6-def 16f1-16f8 19b0-19c0 1c80-1cbf 4db6-4dbf 9fcd-9fff a794-a79f a7ab-a7f7 a9e0-a9fe"
    " ab30-abbf"
)
NO_MARKS = spans("610-613 7fd-8ff ae2-b63 c62-d3c d4a-df3 f18-180f 18a9-fe2f")
NO_SYMBOLS = spans(
    "7f9-888 970-df4 e5a-1cd3 1fbf-2012 2045-205e 20ad-20c0 215f-218b 2ce5-2ffb 3003-3011 3013-30a0 3190-fe6b ffe8-fffd"
)


@cache
def is_letter(char: str) -> bool:
    return unicodedata.category(char) in LETTERS and char <= "\uffff" and char not in NO_LETTERS


@cache
def is_letter_or_mark(char: str) -> bool:
    """Return whether it is a letter, or what is written above or below one."""
    mark = unicodedata.category(char) in MARKS and char <= "\uffff" and char not in NO_MARKS
    return is_letter(char) or mark or "\u02c2" <= char <= "\u02ff" or char in LIKE_MARKS


@cache
def is_digit(char: str) -> bool:
    return unicodedata.category(char) == "Nd" and char <= "\uffff" and char not in NO_LETTERS


@cache
def is_symbol(char: str) -> bool:
    """Return whether it is a token by itself. Anything without a row vanishes, as the pictures beyond 0xFFFF do."""
    known = char <= "\uffff" and char not in NO_SYMBOLS and char not in HYPHENS and not is_letter_or_mark(char)
    return known and unicodedata.category(char) in SYMBOLS


def either(words: str) -> str:
    return "(" + "|".join(words.split()) + ")"


def cased(words: str) -> str:
    """Match words whose first letter must be as written; the rest may be of either case."""
    return "(" + "|".join(f"[{word[0]}]{word[1:]}" for word in words.split()) + ")"


# Abbreviations that may end a sentence: nothing that begins with a letter is glued to them.
ENDINGS = (
    either(
        "al ala apr ariz assn aug bancorp bhd bldg blvd bros calif colo conn corp cos ct dak dec esq est etc ext feb"
        " fla fri ga inc ind intl jan jr jul jun kan kans ky ltd mar md mich minn mo mon mont neb nev nov oct okla"
        " penn plc rd rt sep sept seq sq sr sys tel tenn thu thurs tue tues univ va vt wed wis wisc wyo treas co"
    )[:-1]
    + "|"
    + cased("Az Ark Del Ill La Mass Miss Ore Pa Tex Wash")
    + "|[Pp]t[ey]|[Pp]pt[ey]|[Pp]pt[ey]s|[Pp]t[ey]s)"
)
# Titles and the like: something follows, so "Mr.Smith" and "Gen.-elect" stay in one piece.
TITLES = (
    either(
        "adj adm adv alex assoc asst atty attys ave brig capt cf cie cmdr col comdr cpl dept det dr drs elec ens ft gen"
        " gov govs hon insp invt jos lieut lt maj messrs mlle mme mr mrs ms msgr mt natl pfc ph pres prof profs pvt rep"
        " reps rev sen sens sfc sgt spc st ste supt supts vs wm"
    )[:-1]
    + "|[Mm]fg|[Mm]tg)"
)
BEFORE_NUMBERS = either("art ca fig no nos op pp")
# Words that begin a sentence, so that "vitamin C. The" has no initial in it.
STARTERS = cased(
    "A About According Additionally After An As At But Earlier He Her Here However If In It Last Many More Now Once One"
    " Other Our She Since So Some Such That The Their Then There These They This We What When While Yet You"
)

FILES = either(
    "c h x gz pl ps py bat bmp cgi cpp dll doc exe gif htm jar jpg mov mp3 pdf php png ppt sql tar txt wav xml zip html"
    " java class jpeg docx"
)

NAMES: dict[str, str | Callable[[str], bool]] = {
    "ENDINGS": ENDINGS,
    "TITLES": TITLES,
    "FILES": FILES,
    "BEFORE_NUMBERS": BEFORE_NUMBERS,
    "STARTERS": STARTERS,
    "LETTER": is_letter,
    "L": is_letter_or_mark,
    "D": is_digit,
    "SYMBOL": is_symbol,
    "A": "[A-Za-z]",
    "ANY": lambda char: True,
    "SPACE": "[ \t\xa0\u2000-\u200a\u3000]",
    "QUOTE": "(['’\x92]|&apos;)",
    "MARKED": "(['’‘`\x92\x91]|&apos;)",
    "ACCENTED": "&[aeiou](acute|grave|uml);",
    "LL": "({L}|{ACCENTED}|\xad)",
    "WORD": "{LL}({LL}|{D})*",
    "AN": "({LETTER}|{D})",
    "PIECE": "([dloDLO]{MARKED}{AN}{AN}|o{MARKED}o|{AN}){AN}*",
    "ACRONYM": "{A}(\\.{A})+\\.",
    "HYPHENED": "{PIECE}([\\-_]{PIECE})*",
    "COMPOUND": "[A-Za-z0-9][A-Za-z0-9.,\xad]*(\\-({ACRONYM}|({AD}|\xad)+))+",
    "CAPITALS": "[A-Z]+(([&+]|&amp;)[A-Z]+)+",
    "THING": "({PIECE}|{ACRONYM})([\\-_\u058a\u2010\u2011]({PIECE}|{ACRONYM}))*",
    "DOTTED": "{WORD}([.!?]{WORD})+",
    "INITIALS": "{A}(\\.{A})+",
    "NUMBER": "({D}*([.,:\xad\u066b\u066c]{D}+)+|{D}+)",
    "AD": "[A-Za-z0-9]",
    "PART": "{AD}+(\\-{A}{AD}*)*",
    "SLASH": "\\\\?/",
    "FEW": "{D}{1,4}",
    "GAP": "[\\- \xa0]",
    "LINE": "{D}{3,4}{GAP}?{D}{3,5}",  # the end of a telephone number
    # What addresses may hold, by the part of them, and what they may end in.
    "WEB": '[^ \t"()<>{|}]',
    "WEBEND": '[^ \t\xa0"()<>{|}!,.?\\-]',
    "PATH": '(/[^ \t"()<>|]+{WEBEND})?',
    "LABEL": '[^ \t"(),.<>{|}!?]',
    "HOST": "([a-z#%&*+~\xa0’]|{FOREIGN})",
    "MAIL": '[^ \t\xa0"()<>{|}]',
    "MAILEND": '[^ \t\xa0"()<>{|}.]',
    "TAGNAME": "{A}[A-Za-z0-9_:.\\-]*",
    "VALUE": "( *= *(\"[^\"]*\"|'[^']*'))",
    "EYE": "[\\-^x=~<>']",
    "FOREIGN": lambda char: is_letter_or_mark(char) and not char.isascii(),
    "TAG": "</?{TAGNAME} *>|<{TAGNAME}( +{TAGNAME}{VALUE}?)* */?>|<[!?][A-Za-z\\-][^>]*>",
    "NEITHER": "[^A-Za-z0-9]",
    "END": "[^A-Za-z]",
}
RULES = [
    # Pieces of words that were written together.
    ("can", "not"),
    ("gon", "na"),
    ("got", "ta"),
    ("lem", "me"),
    ("gim", "me"),
    ("wan", "na"),
    ("{LL}({LL}|{D})*", "{QUOTE}([sdmSDM]|ll|re|ve)"),
    ("{A}+", "n{MARKED}t"),
    ("n{MARKED}t|n{MARKED}{L}{L}+", ""),
    ("'t", "is|was"),
    ("{QUOTE}[sdmSDM]", ""),
    ("{QUOTE}(ll|re|ve)", "{END}"),
    ("{QUOTE}(em|til|cause|n{QUOTE})", ""),
    ("'n", "{SPACE}"),
    ("[’\x92]n", ""),
    ("{QUOTE}{D}0s", ""),
    ("{QUOTE}{D}{D}", "{SPACE}"),
    ("y{QUOTE}", "{LETTER}"),
    ("[dljDLJ]{QUOTE}|ol{QUOTE}|somethin{QUOTE}", ""),
    ("e'er|s'mores|c'mon|nor'easter|ev'ry|li'l|nat'l|cont'd\\.|dunkin{QUOTE}|c'est", ""),
    ("[A-HJ-XZ]{MARKED}{L}{L}+", ""),
    ("{A}+[aeiouyAEIOUY]{MARKED}[aeiouA-Z]{L}*", ""),
    # Words, abbreviations.
    ("{ENDINGS}\\.", "[^A-Za-z]?{ANY}"),
    ("{WORD}|{THING}|{DOTTED}", ""),
    ("({HYPHENED}|{DOTTED}|{COMPOUND}|{CAPITALS})\\.", "[,;:]"),
    ("{A}\\.|{INITIALS}\\.?|ph\\.d\\.|ed\\.d\\.|{TITLES}\\.", ""),
    ("{COMPOUND}", ""),
    ("{A}", "\\.{SPACE}+({STARTERS}|[M](r|s)\\.|{TAG}){SPACE}"),
    ("{BEFORE_NUMBERS}\\.", "{SPACE}?{D}"),
    ("(anti|pro)\\-", ""),
    ("{AD}+(\\-{A}{AD}*)*{SLASH}{PART}({SLASH}{PART})?", ""),
    ("{CAPITALS}|S&P\\-500|S&Ls|c\\+\\+|c#|f#|[A-Z]+\\$", ""),
    # Numbers.
    ("[+\\-]?{NUMBER}", ""),
    ("({FEW}{GAP})?{FEW}({SLASH}|⁄){FEW}|{D}{1,2}/{D}{1,2}\\-{D}{2,4}", ""),
    ("\\+?({D}{2,4}{GAP}){1,2}{LINE}|\\({D}{2,3}\\)[ \xa0]?{LINE}", ""),
    # The web.
    ("({WORD}|{AN}+|{D}+\\.{D}+)\\.{FILES}", "{SPACE}|[.,!?]"),
    ("https?://{WEB}+{WEBEND}", ""),
    ("www(\\.{LABEL}+)+\\.{A}{2,4}{PATH}", ""),
    ("{HOST}+(\\.{HOST}+)*\\.(com|net|org|edu){PATH}", ""),
    ("<?{AD}{MAIL}*@{MAILEND}+(\\.{MAILEND}+)*>?", ""),
    ("@[A-Za-z_][A-Za-z0-9_]*|#{LL}+|@+", ""),
    ("{TAG}", ""),
    ("[<>]?[:;=][\\-o*']?[()dDpPO\\\\{@|\\[\\]]", "{NEITHER}"),
    ("{EYE}_{EYE}|\\({EYE}[_.]?{EYE}\\)|\\([\\^x=~<>']\\-[\\^x=~<>'`]\\)", ""),
    # Punctuation.
    ("&(amp|lt|gt|nbsp|quot|apos|mdash|ndash);|{ACCENTED}|&#[0-9]+;", ""),
    ("\\-|\\-\\-|\\-\\-\\-+|[.][.][.]{1,3}|[.]([ \xa0][.]){2,4}|[!?]+|\\*+|(\\\\\\*)+|#+|_+|<<|>>|``|''", ""),
    ("'", "{A}{A}"),
    ("[\u207a-\u207e\u208a-\u208e]?[\u2070\xb9\xb2\xb3\u2074-\u2079\u2080-\u2089]+", ""),
    ("[`\x91-\x94\u2018-\u201f\u2039\u203a\xab\xbb]{1,2}", ""),
    ("\\-(l|r)(r|c|s)b\\-", ""),
    ("{SYMBOL}|[\xad\x80\x91-\x94\x96\x97]", ""),
]
