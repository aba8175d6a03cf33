"""Tokenise captions as coco-caption does: Penn Treebank, lower case, without 17 kinds of punctuation.

The same tokens as Java's PTBTokenizer called by pycocoevalcap, without Java, on all that was tried of real and ordinary
English; corners of random strings differ (docs/metrics.md says which and how many). Two differences, both on purpose: a
caption's tokens depend on that caption alone (Java also looks into the next one: a last "vitamin C." loses its dot
when the next caption starts with "The"), and a line break inside a caption is a space, of whatever kind it is
(pycocoevalcap takes out one kind; any other moves every later caption to the wrong video).
"""

from __future__ import annotations

import re
from functools import cache

from pseudocap.metrics.lexer import Lexer
from pseudocap.metrics.ptb_rules import NAMES, RULES

# What coco-caption drops. Lower case comes first, so brackets stay as -lrb- and -rrb-: a quirk that every score has.
DROPPED = frozenset(["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", *".?!,:;-", "--", "..."])
LINE_BREAKS = re.compile("[\n\r\u000b\u000c\u0085\u2028\u2029]")

# What may reach across a space: numbers, tags, dots, and an initial before a word that begins a sentence.
REACHING = re.compile(r"<|[\d.)]\s+[\d.]|[A-Za-z]\.\s+[A-Z]")
MAX_CHUNKS = 200_000

BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": "''", "&mdash;": "--", "&ndash;": "--", "&nbsp;": ""}
ENTITIES |= {name.upper(): text for name, text in ENTITIES.items() if name != "&quot;"}
FRACTIONS = {"¼": "1/4", "½": "1/2", "¾": "3/4", "\u2153": "1/3", "\u2154": "2/3"}
MONEY = {"¢": "cents", "£": "#", "¤": "$", "€": "$", "\u20a0": "$", "\x80": "$"}
# A single soft hyphen is printed as a hyphen; inside words it goes.
DASHES = dict.fromkeys(["\xad", "\u2013", "\u2014", "\u2015", "\x96", "\x97", "---", "----"], "--")
QUOTES = {'"': "''", "…": "...", "&apos;": "'"}
CURLY = str.maketrans(
    dict.fromkeys("‘‛‹\x91", "`")
    | dict.fromkeys("’›\x92", "'")
    | dict.fromkeys("“«\x93", "``")
    | dict.fromkeys("”»\x94", "''")
)
QUOTED = re.compile("[`\x91-\x94\u2018-\u201f‹›«»]+")
DOTS = re.compile("[. \xa0]+")
WRITTEN = BRACKETS | ENTITIES | FRACTIONS | MONEY | DASHES | QUOTES
CLITIC = re.compile("(?:n[`'‘’\x92]|n&apos;)t|(?:['’\x92]|&apos;)(?:[sdm]|ll|re|ve)", re.IGNORECASE)
WEB = re.compile("[@/#]")  # addresses and hashtags stay as they are
ROUND = str.maketrans({"(": "-lrb-", ")": "-rrb-"})


@cache
def lexer() -> Lexer:
    return Lexer(RULES, NAMES)


def write(token: str) -> str:
    """Write a token as Java prints it, in lower case."""
    if token in WRITTEN:
        return WRITTEN[token]
    if QUOTED.fullmatch(token):
        return token.translate(CURLY)
    if DOTS.fullmatch(token):
        return "..."
    if CLITIC.fullmatch(token):
        token = token.replace("&apos;", "'").translate({0x2019: "'", 0x92: "'", 0x2018: "`"})
    elif not re.match("<[A-Za-z!?/_]", token):
        token = token.translate(ROUND)
    if len(token) > 1 and not WEB.search(token):
        token = token.replace("\xad", "").replace("&amp;", "&")
    return token.replace(" ", "\xa0").lower()


def cut(text: str) -> list[str]:
    """Cut text into the tokens that count, from the left; what no rule matches is dropped."""
    tokens, position = [], 0
    text += " "
    while position < len(text):
        match = lexer().match(text, position)
        if match is None:
            position += 1
            continue
        token = write(text[position : match.end])
        if token and token not in DROPPED:
            tokens.append(token)
        position = match.end
    return tokens


class Chunks(dict[str, str]):
    """Cache the tokens of chunks between two spaces. Captions repeat their words, so nearly all are found here."""

    def __missing__(self, chunk: str) -> str:
        if len(self) >= MAX_CHUNKS:
            self.clear()
        self[chunk] = " ".join(cut(chunk))
        return self[chunk]


CHUNKS = Chunks()


def tokenize(caption: str) -> str:
    """Return the caption's tokens, one space between two of them; empty where nothing is left."""
    text = LINE_BREAKS.sub(" ", caption)
    if REACHING.search(text):
        return " ".join(cut(text))
    return " ".join(filter(None, map(CHUNKS.__getitem__, text.split())))
