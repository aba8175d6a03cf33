"""Translate labels and rows: provenance, verdicts, resuming."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from helpers.label_worlds import SHORT, rows, run, write_film

from pseudocap.errors import ConfigError, DataError
from pseudocap.label.rewrite import rewrite
from pseudocap.label.schema import identity
from pseudocap.label.shard import LabelSpec
from pseudocap.label.translate import TranslateLabels, TranslationFilters, copied_share, translate_rows
from pseudocap.metrics.chrf import chrf
from pseudocap.rows import CaptionRow, read_rows, write_rows


@dataclass(frozen=True, kw_only=True)
class Dictionary:
    """Translate word by word; words that are not in it stay."""

    words: Mapping[str, str]
    name: str = "dictionary"
    revision: str | None = "1"
    asked: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Mapping[str, object]:
        return {"translator": self.name, "revision": self.revision, "words": dict(self.words)}

    def translate(self, texts: Sequence[str]) -> list[str]:
        self.asked.extend(texts)
        return [" ".join(self.words.get(word, word) for word in text.split()) for text in texts]


SPANISH = {"a": "un", "dog": "perro", "cat": "gato", "runs": "corre", "sleeps": "duerme", "now": "ahora"}
ROWS = [
    CaptionRow(video="a.mp4", captions=("a dog runs", "the frobnicator whirrs loudly"), split="train"),
    CaptionRow(video="b.mp4", captions=("a cat sleeps",), start=1.0, end=2.0),
    CaptionRow(video="c.mp4", error="broken"),
    CaptionRow(video="d.mp4", captions=("some unknown words here",)),
    CaptionRow(video="e.mp4", captions=("un perro",), language="es"),
]  # fmt: skip


def to_spanish(**filters: float) -> TranslateLabels:
    back = Dictionary(words={there: here for here, there in SPANISH.items() if here != "runs"}, name="back")
    return TranslateLabels(
        Dictionary(words=SPANISH), source="en", target="es", filters=TranslationFilters(**filters), back=back
    )


def test_rows_are_translated_with_where_they_come_from_and_what_is_objected_to(tmp_path: Path) -> None:
    made = translate_rows(ROWS, tmp_path / "captions.es.jsonl", to_spanish())
    assert made == list(read_rows(tmp_path / "captions.es.jsonl"))
    assert [row.captions for row in made] == [
        ("un perro corre",), ("un gato duerme",), (), ("some unknown words here",), ("un perro",),
    ]  # fmt: skip
    assert made[0].parent == "a.mp4"
    assert made[1].parent == "b.mp4#1.000-2.000"
    assert (made[0].language, made[0].checkpoint, made[0].split, made[0].verdicts) == ("es", "dictionary", "train", ())
    assert made[2].error == "broken"
    assert made[3].verdicts == ("untranslated",)
    assert (made[4].parent, made[4].checkpoint) == ("", "")
    assert len({row.run for row in (made[0], made[1], made[3])}) == 1


def test_a_finished_file_is_kept_and_one_of_other_settings_refused(tmp_path: Path) -> None:
    path = tmp_path / "captions.es.jsonl"
    translate_rows(ROWS, path, to_spanish())
    before = path.stat().st_mtime_ns
    again = to_spanish()
    translate_rows(ROWS, path, again)
    assert path.stat().st_mtime_ns == before
    assert again._translator.asked == []
    with pytest.raises(DataError, match="other rows or with other settings; choose another --out"):
        translate_rows(ROWS, path, to_spanish(max_copied=0.1))
    with pytest.raises(DataError, match="other rows or with other settings"):
        translate_rows(ROWS[1:], path, to_spanish())


def test_rows_that_were_translated_before_keep_their_run_and_a_finished_file_knows_them(tmp_path: Path) -> None:
    earlier = translate_rows(ROWS[:1], tmp_path / "1" / "captions.es.jsonl", to_spanish())
    for name, given in (("2", [*earlier, *ROWS]), ("3", ROWS[4:])):  # of the last none is translated
        path = tmp_path / name / "captions.es.jsonl"
        made = translate_rows(given, path, to_spanish())
        assert translate_rows(given, path, to_spanish()) == made


def test_a_file_that_no_translation_wrote_is_not_taken_for_its_result(tmp_path: Path) -> None:
    path = tmp_path / "captions.es.jsonl"
    write_rows(path, [replace(ROWS[4], video="mine.mp4").line])
    with pytest.raises(DataError, match="other rows or with other settings; choose another --out"):
        translate_rows(ROWS, path, to_spanish())
    assert [row.video for row in read_rows(path)] == ["mine.mp4"]


def test_what_was_stopped_goes_on_to_the_same_bytes_and_asks_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pseudocap.label.translate.PART", 2)
    translate_rows(ROWS, tmp_path / "whole" / "captions.es.jsonl", to_spanish())

    class Stopping(TranslateLabels):
        def rows(self, rows: Sequence[CaptionRow], *, run: str) -> object:  # type: ignore[override]
            if rows[0].video == "c.mp4":
                raise KeyboardInterrupt
            return super().rows(rows, run=run)

    path = tmp_path / "out" / "captions.es.jsonl"
    stopping = Stopping(Dictionary(words=SPANISH), source="en", target="es")
    with pytest.raises(KeyboardInterrupt):
        translate_rows(ROWS, path, stopping)
    assert not path.exists()
    going_on = to_spanish()
    translate_rows(ROWS, path, going_on)
    assert going_on._translator.asked == ["some unknown words here"]
    assert path.read_bytes() == (tmp_path / "whole" / "captions.es.jsonl").read_bytes()
    assert [each.name for each in path.parent.iterdir() if each.name != ".lock"] == ["captions.es.jsonl"]


def test_a_round_trip_that_loses_the_caption_is_a_verdict_with_its_score(tmp_path: Path) -> None:
    given = [replace(ROWS[0], captions=("a dog runs",)), ROWS[1]]
    made = translate_rows(given, tmp_path / "captions.es.jsonl", to_spanish(round_trip=0.9, max_copied=1.0))
    assert made[0].verdicts == (f"round-trip:{chrf('a dog corre', 'a dog runs'):.2f}",), "corre stays as it is"
    assert made[1].verdicts == ()
    with pytest.raises(ConfigError, match=r"round_trip is 0\.5 and needs a translator back into en"):
        TranslateLabels(Dictionary(words={}), source="en", target="es", filters=TranslationFilters(round_trip=0.5))


@pytest.mark.parametrize(
    ("words", "target", "verdict"),
    [
        ({"a": "", "dog": "", "runs": ""}, "es", "empty"),
        ({"a": "one", "dog": "two", "runs": "three"}, "ru", "script"),
        ({"a": "un " * 9, "dog": "perro " * 9}, "es", "length"),
        ({"a": "一", "dog": "只狗在", "runs": "跑"}, "zh", None),
        ({"a": "一" * 20, "dog": "只狗在" * 9, "runs": "跑"}, "zh", "length"),
    ],
)
def test_each_filter_objects_to_what_it_is_for(words: dict[str, str], target: str, verdict: str | None) -> None:
    rewriter = TranslateLabels(Dictionary(words=words), source="en", target=target)
    (made,) = rewriter.rows([CaptionRow(video="a.mp4", captions=("a dog runs",))], run="r")
    assert made.verdicts == ((verdict,) if verdict else ())


def test_copied_words_are_counted_from_three_letters_on() -> None:
    assert copied_share("a dog runs", "a Dog runs") == 1.0
    assert copied_share("a dog runs", "un perro runs a") == 0.5
    assert copied_share("a dog", "no") == 0.0


def test_labels_are_rewritten_with_translator_revision_and_parent(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    write_film(tmp_path / "films" / "0.mp4", frames=20, seed=0)
    (tmp_path / "films" / "1.mp4").write_bytes(b"no film")
    run(tmp_path / "films", tmp_path / "labels", LabelSpec(framing=SHORT, shard_size=1))
    stats = rewrite(tmp_path / "labels", tmp_path / "out" / "es", to_spanish(max_copied=1.0))
    old, new = rows(tmp_path / "labels"), rows(tmp_path / "out" / "es")
    plan = json.loads((tmp_path / "out" / "es" / "plan.json").read_bytes())
    assert plan["settings"]["translate"] == "es"
    assert len(old) == len(new)
    for before, after in zip(old, new, strict=True):
        if before.failed:
            assert after == before
            continue
        settings = json.dumps(dict(Dictionary(words=SPANISH).settings), sort_keys=True)
        assert after == replace(
            before, captions=after.captions, log_probs=(), teacher="dictionary", revision="1", language="es",
            parent=identity(before), run=plan["run"], settings=settings,
        )  # fmt: skip
        assert len(after.captions) == len(before.captions)
    assert stats["failed"] == 1


def test_captions_of_a_third_language_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is in 'fr', and the translation is from en to es"):
        translate_rows([replace(ROWS[0], language="fr", where="line 1")], tmp_path / "x.jsonl", to_spanish())


@pytest.mark.parametrize(
    ("filters", "message"),
    [({"max_copied": 2.0}, "max_copied is 2 and must be from 0 to 1"), ({"min_length": 3.0}, "min_length is 3")],
)
def test_filters_are_checked_when_they_are_made(filters: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TranslationFilters(**filters)
