"""The pages keep their promises: commands parse and run, links and names lead somewhere, the site builds."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pseudocap.cli.main import VERBS, OneLineParser, main

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
BLOCK = re.compile(r"^```([\w+-]*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
SHELL = ("bash", "sh", "console")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page: Path, *languages: str) -> Iterator[tuple[str, str]]:
    """The code blocks of these languages, in their order, as (language, text)."""
    for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield language, text


def words_of(block: str) -> Iterator[list[str]]:
    """The commands of a shell block as words, up to a pipe or a redirection, without comments, prompts and output."""
    lines = block.replace("\\\n", " ").splitlines()
    for line in [line for line in lines if line.startswith("$ ")] or lines:
        words = shlex.split(line.removeprefix("$ "), comments=True)
        end = next((place for place, word in enumerate(words) if word in ("|", ">", "&&")), len(words))
        if words:
            yield words[:end]


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


@each_page
def test_every_command_of_a_page_is_understood_by_its_verb(page: Path) -> None:
    prompted = [text for _, text in blocks(page, "") if text.startswith("$ ")]
    texts = [*(text for _, text in blocks(page, *SHELL)), *prompted]
    commands = [words for text in texts for words in words_of(text) if words[0] == "pseudocap"]
    for _, verb, *rest in commands:
        assert verb in VERBS, f"{page.name}: there is no verb {verb}"
        parser = OneLineParser(prog=f"pseudocap {verb}")
        importlib.import_module(f"pseudocap.cli.{verb}").add_arguments(parser)
        parser.parse_args(rest)  # which stops with what is wrong


@each_page
def test_every_option_that_a_sentence_gives_to_a_verb_exists(page: Path) -> None:
    for command in re.findall(r"`pseudocap ([a-z]+ [^`]*--[^`]*)`", prose(page)):
        verb, *words = command.split()  # those of `train` come from the classes that it makes
        assert verb in VERBS, f"{page.name}: there is no verb {verb}"
        options = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        parser = OneLineParser(prog=f"pseudocap {verb}")
        importlib.import_module(f"pseudocap.cli.{verb}").add_arguments(parser)
        assert verb == "train" or options <= options_of(parser), f"{page.name}: `pseudocap {command}`"


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """The options of a parser and of those below it."""
    below = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return set(parser._option_string_actions).union(*(options_of(each) for some in below for each in some.values()))


@each_page
def test_every_relative_link_of_a_page_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose(page))
    broken = [each for each in targets if "://" not in each and not (page.parent / each).exists()]
    assert not broken


@each_page
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(r"`((?:pseudocap|tests|examples|docs)/[\w./-]+\.\w+)", page.read_text(encoding="utf-8"))
    named += re.findall(r"\bdocs/[\w-]+\.md\b", page.read_text(encoding="utf-8"))
    modules = re.findall(r"python -m (pseudocap[\w.]*)", page.read_text(encoding="utf-8"))
    named += [f"{module.replace('.', '/')}.py" for module in modules]
    named += re.findall(r"pytest (tests/[\w./-]+)", page.read_text(encoding="utf-8"))
    assert not [each for each in named if not (ROOT / each).exists()]


def test_every_name_on_the_way_from_the_papers_is_in_the_code() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "pseudocap").rglob("*.py"))
    page = (ROOT / "docs" / "papers-to-code.md").read_text(encoding="utf-8")
    names = {name.rpartition(".")[2] for name in re.findall(r"`([A-Za-z_][\w.]{3,})`", page)} - {"metrics.csv"}
    files = {path.name for path in (ROOT / "pseudocap").rglob("*.py")}
    missing = [name for name in names if name not in code and not any(name in each for each in files)]
    assert len(names) > 20
    assert sorted(set(missing) - {"json", "csv", "py"}) == []


def test_every_page_of_the_site_is_in_its_table_of_contents() -> None:
    told = "\n".join(
        text for _, text in re.findall(r"^```(\{toctree\})\n(.*?)^```$", index(), re.DOTALL | re.MULTILINE)
    )
    listed = {line for line in told.splitlines() if line and not line.startswith(":")}
    assert listed == {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"}


@pytest.mark.parametrize(
    "words",
    [
        "capton films",
        "caption films/a.mp4 --formt srt",
        "caption films/gone.mp4",
        "finetune --from mine --data gone.jsonl --out runs/mine",
        "pack empty --out shards",
        "score p.json r.json",
        "toyworld write films",
        "data verify msrvtt --annotations empty --videos films",
        "push empty OWNER/REPO",
        "pull owner/repo --to mine",
    ],
)
def test_troubleshooting_has_the_very_line_that_a_mistake_prints(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("films", "empty", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "films" / "a.mp4").write_bytes(b"")
    (tmp_path / "mine" / "config.json").write_text("{}")
    (tmp_path / "p.json").write_text('{"1": "a dog"}')
    (tmp_path / "r.json").write_text('{"1": ["a dog"], "2": ["a cat"]}')
    monkeypatch.chdir(tmp_path)
    try:
        code = main(words.split())
    except SystemExit as stopped:  # by the parser
        code = stopped.code
    line = capsys.readouterr().err
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert code == 2
    assert line.startswith("error: ")
    assert plain(line) in plain(page)


def plain(text: str) -> str:
    """On one line, and without the backticks that mark code in both."""
    return " ".join(text.replace("`", "").split())


def index() -> str:
    return (ROOT / "docs" / "index.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quickstart.md", "journey.md"])
def test_the_commands_of_a_page_run_in_their_order(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = 0
    for language, text in blocks(ROOT / "docs" / name, "bash", "python"):
        if language == "python":
            exec(compile(text, name, "exec"), {"__name__": "page"})
        for words in words_of(text) if language == "bash" else ():
            assert words[0] == "pseudocap", f"{name}: what is no command of ours is `console`, not `bash`"
            assert main(words[1:]) == 0, shlex.join(words)
            ran += 1
    assert ran >= 5


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(tmp_path / "doctrees")]
    done = subprocess.run([*sphinx, str(ROOT / "docs"), str(tmp_path / "site")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "PseudoCap.from_pretrained" in (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
