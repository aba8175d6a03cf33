"""Every option that a help text or a message names is one that its verb has."""

from __future__ import annotations

import argparse
import ast
import functools
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pseudocap
from pseudocap.cli.main import VERBS, OneLineParser

PACKAGE = Path(pseudocap.__file__).parent
OPTION = re.compile(r"(?<![\w(-])--[a-z][\w-]*(?![\w-]*:)|(?<=\()--[a-z][\w-]*(?![\w-]*[:)]\s*[;}])")
COMMAND = re.compile(r"pseudocap (\w+)((?:(?!pseudocap)[^`\n)])*)")
OTHERS = re.compile(r"(--[\w-]+) of (?:a |the )?`?pseudocap (\w+)")  # "the --out of a `pseudocap label`"
FOREIGN = re.compile(
    r"(?:pip install|ct2-transformers-converter) [^`\n]*|--(?:model|data|trainer)\.[\w.]*"
)  # the latter of `pseudocap train`
# Of `pseudocap train`, whose settings LightningCLI parses: tests/cli/test_train.py runs these.
OF_TRAIN = {"--config", "--out", "--resume", "--checkpoint_every", "--print_config", "--help", "--seed_everything"}


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from parsers(each)


@functools.cache
def parsers_of(verb: str) -> tuple[argparse.ArgumentParser, ...]:
    parser = OneLineParser(prog=f"pseudocap {verb}")
    importlib.import_module(f"pseudocap.cli.{verb}").add_arguments(parser)
    return tuple(parsers(parser))


@functools.cache
def options_of(verb: str) -> frozenset[str]:
    known = {option for parser in parsers_of(verb) for option in parser._option_string_actions}
    return frozenset(known | (OF_TRAIN if verb == "train" else set()))


def unknown(text: str, verbs: list[str]) -> list[str]:
    """Return the options that a text names and none of the verbs has; those of a quoted command are its own verb's."""
    wrong = [f"pseudocap {verb} {option}" for option, verb in OTHERS.findall(text) if option not in options_of(verb)]
    text = FOREIGN.sub("", OTHERS.sub("", text))
    for verb, rest in COMMAND.findall(text):
        if verb in VERBS:
            wrong += [f"pseudocap {verb} {each}" for each in OPTION.findall(rest) if each not in options_of(verb)]
    plain = COMMAND.sub(lambda command: "" if command[1] in VERBS else command[0], text)
    known = {option for verb in verbs for option in options_of(verb)} | {"--version"}
    return wrong + [option for option in OPTION.findall(plain) if option not in known]


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_a_help_text_is_there(verb: str) -> None:
    module = importlib.import_module(f"pseudocap.cli.{verb}")
    texts = [*VERBS[verb], getattr(module, "EPILOG", "")]
    for parser in parsers_of(verb):
        texts += [parser.description or "", parser.epilog or ""]
        texts += [action.help for action in parser._actions if action.help and action.help != argparse.SUPPRESS]
    assert [wrong for text in texts for wrong in unknown(text, [verb])] == []


def messages(path: Path) -> Iterator[str]:
    """The texts of a module, with what an f-string fills in left out; docstrings too, which promise as much."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def verbs_of(path: Path) -> list[str]:
    """A verb's own modules speak of its options; the others' messages, and doctor's parts, of those of some verb."""
    first = path.stem.partition("_")[0]
    own = path.parent.name == "cli" and first in VERBS and first != "doctor"
    return [first] if own else list(VERBS)


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "assets" not in path.parts)


def test_every_option_of_a_message_is_there() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}: {option}"
        for path in MODULES
        for texts in (list(messages(path)),)
        for text in texts
        if " " in text and "var(--" not in text and ":root" not in text
        for option in unknown(text, verbs_of(path))
        if option not in texts  # some benchmarks declare options of their own
    ]
    assert wrong == []


# What a fine-tuning can meet, beside messages that only other verbs cause.
OF_FINETUNE = ["regimes/finetune_run.py", "regimes/finetune_report.py", "data/videos.py", "data/caption_data.py"]
OF_FINETUNE += ["data/corpora/own.py", "data/corpora/base.py", "regimes/loss_guards.py", "regimes/checkpointing.py"]


@pytest.mark.parametrize("module", OF_FINETUNE)
def test_every_option_that_finetune_is_advised_to_take_is_its_own(module: str) -> None:
    assert [wrong for text in messages(PACKAGE / module) for wrong in unknown(text, ["finetune"])] == []


def test_an_option_that_is_not_there_is_found() -> None:
    assert unknown("give --frames or `pseudocap encode --crosp 4`", ["finetune"]) == [
        "pseudocap encode --crosp",
        "--frames",
    ]
    assert unknown("as --lr and (--val-share) have it", ["finetune"]) == []
