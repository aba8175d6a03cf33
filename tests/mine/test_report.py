"""The report counts what the labels hold, and its page shows pictures beside frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.mining import SHORT, mined, rows, write_films, write_photos

from pseudocap.label.run_folder import require_plan
from pseudocap.mine.contents import count_contents
from pseudocap.mine.films import FilmFacts, FilmFilter
from pseudocap.mine.matches import Merged, merge_matches
from pseudocap.mine.report import covered_verbs, forms_of, matched_frame, mining_report, participles, sampled
from pseudocap.mine.report_page import report_paths, write_report
from pseudocap.mine.seeds import Seeds, find_seeds


class Colours:
    """Name the strongest colour of a picture."""

    name = "colours"

    def words(self, pictures: Sequence[np.ndarray]) -> list[frozenset[str]]:
        return [frozenset({("red", "green", "blue")[int(each.mean(axis=(0, 1)).argmax())]}) for each in pictures]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Merged, Seeds]:
    folder = tmp_path_factory.mktemp("world")
    write_films(folder / "films", a="red blue", b="green", c="red")
    photos = write_photos(folder / "photos", red="a red car is driving|wheels", blue="the blue sea", white="snow")
    spec = replace(SHORT, top=1, apart=0.0)
    result = mined(folder / "films", photos, folder / "out", spec)
    shards = len(require_plan(folder / "out").sources.shards)
    return folder / "out", merge_matches(folder / "out", shards, result.seeds, spec), find_seeds(str(photos))


def captions(seeds: Seeds) -> list[str]:
    return [caption for picture in seeds.pictures for caption in picture.captions]


def test_figures_are_those_of_the_labels(run: tuple[Path, Merged, Seeds]) -> None:
    folder, merged, seeds = run
    facts = FilmFilter(facts={"a": FilmFacts(category="cars")})
    (matches,) = sampled(folder, 9)
    counted = {"threshold": 0.9, "films": facts, "classifier": Colours(), "rows": matches, "pictures": seeds.pictures}
    report = mining_report(count_contents(folder), merged, captions(seeds), **counted)
    assert len(rows(folder)) == report.clips == 2
    assert (report.captions, report.captions_of_seeds, report.pairs, report.threshold) == (3, 4, 3, 0.9)
    assert report.clips_per_caption == {"1": 3}
    assert report.hours == pytest.approx(2 * 2.0 / 3600)
    assert [row["matches"] for row in report.thresholds] == [2, 2, 2, 2, 2]
    assert {row["seeds"] for row in report.thresholds} == {2}
    assert sum(report.domains.values()) == 2
    assert report.confirmed is not None
    assert (report.confirmed.of, report.confirmed.found) == (3, 2)  # "wheels" is no colour
    assert report.confirmed_pictures is not None
    assert (report.confirmed_pictures.of, report.confirmed_pictures.found) == (4, 2)  # nor is "snow"


def test_a_random_sample_is_the_same_again_and_opens_its_frames(run: tuple[Path, Merged, Seeds]) -> None:
    (one,), both = sampled(run[0], 1, 9)
    assert sampled(run[0], 1) == [[one]]
    assert one in both
    assert len(both) == 2
    frame = matched_frame(one, short_side=16)
    assert frame is not None
    assert min(frame.shape[:2]) == 16
    strongest = ("red", "green", "blue")[int(frame.mean(axis=(0, 1)).argmax())]
    assert one.parent == f"{strongest}.png"
    gone = replace(one, clip=replace(one.clip, source="gone.mp4"))
    assert matched_frame(gone, short_side=16) is None


def test_the_page_has_two_pictures_for_each_match_and_the_json_its_figures(
    run: tuple[Path, Merged, Seeds], tmp_path: Path
) -> None:
    folder, merged, seeds = run
    (matches,) = sampled(folder, 9)
    report = mining_report(
        count_contents(folder), merged, captions(seeds), threshold=0.9, classifier=Colours(), rows=matches
    )
    pictures = {picture.name: picture for picture in seeds.pictures}
    write_report(tmp_path / "mined", report, matches, pictures, title="<films>")
    page = (tmp_path / "mined.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 4
    assert "<h1>&lt;films&gt;</h1>" in page
    assert "66.7% of 3 (colours)" in page
    document = json.loads((tmp_path / "mined.json").read_text())
    assert document["confirmed"] == {"of": 3, "found": 2, "by": "colours", "share": pytest.approx(2 / 3)}
    assert document["thresholds"][1] == report.thresholds[1]


def test_a_report_may_be_named_with_or_without_an_extension() -> None:
    assert (
        report_paths(Path("a/mined.html"))
        == report_paths(Path("a/mined"))
        == (Path("a/mined.html"), Path("a/mined.json"))
    )
    assert report_paths(Path("mined0.6"))[0] == Path("mined0.6.html")


def test_verbs_are_found_in_their_regular_forms() -> None:
    assert participles(["a man is riding a bike", "two dogs are happily running", "a painting of a king"]) == {
        "riding": 1, "running": 1
    }  # fmt: skip
    assert {"ride", "rides", "riding"} <= forms_of("riding")
    assert {"run", "runs"} <= forms_of("running")
    found = covered_verbs(["a man is riding", "he is running", "it is swimming"], ["she rides", "a run"], by="r")
    assert (found.of, found.found, found.by) == (3, 2, "r")
