"""Check the comparison of captioners that hear and that do not: what it counts, and that they differ in sound alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pseudocap.toyworld.scenes import Action, Shot, Thing
from pseudocap.toyworld.sounds import SoundEvent, Soundtrack
from pseudocap.zoo.recipe import FULL_RECIPE
from pseudocap.zoo.toy_hears import HeardFilm, heard_truth, hearing_table, tuning_words
from pseudocap.zoo.toy_hears_msrvtt import msrvtt_table

PUSH = Shot(
    things=(Thing(kind="car", colour="red", x=0.3), Thing(kind="ball", colour="blue", x=0.6)),
    actions=(Action(verb="push", actor=0, patient=1, start=0, end=400, vector=(0.3, 0.0)),),
    background="road",
    frames=40,
)
SCRAPING = SoundEvent(name="scraping", start=0, end=400, loudness=0.5, final=0.5, pitch=1.0, seed=0, thing=0)
BELL = replace(SCRAPING, name="bell", thing=None)
SEEN = "a red car pushes a blue ball"


def film(key: str, *events: SoundEvent) -> HeardFilm:
    track = Soundtrack(noises=events, ticks=480, seed=0)
    return HeardFilm(key=key, path=Path(key), references=(SEEN,), shots=(PUSH,), track=track, number=0)


def test_captions_are_counted_by_what_is_heard_and_by_what_sounds_unseen() -> None:
    films = [film("a", SCRAPING, BELL), film("b", SCRAPING, BELL), film("c", SCRAPING), film("d")]
    captions = {
        "a": f"{SEEN} with the sound of scraping and a bell",
        "b": f"{SEEN} with the sound of scraping",
        "c": f"{SEEN} with the sound of a siren",
        "d": "a green car pushes a blue ball",
    }
    assert heard_truth(captions, films) == {
        "true in all": 50.0,
        "names a sound": 100.0,
        "true in what is heard": 66.7,
        "names a wrong sound": 33.3,
        "names what sounds unseen": 50.0,
    }


def test_the_captioner_that_sees_alone_is_tuned_in_the_same_way() -> None:
    hears, sees = (list(tuning_words(FULL_RECIPE, f"{name}-1")) for name in ("toy-hears", "sees"))
    assert hears[hears.index("--seed") + 1] == "1"
    first = hears.index("--audio-encoder")
    assert hears[first : first + 4] == ["--audio-encoder", "ast", "--modality-groups", FULL_RECIPE.hears.groups]
    del hears[first : first + 4]
    assert [word.replace("toy-hears", "sees") for word in hears] == sees


def test_the_table_has_a_row_for_every_view_of_every_captioner() -> None:
    view = {"CIDEr-D": 51.25, "least and most": [50.0, 52.5], "truth": {"true in all": 40.0}}
    found = {"people": {"CIDEr-D": 90.0}, "captioners": {"toy-hears": {"AV": view, "deaf": view}, "sees": {"V": view}}}
    lines = list(hearing_table(found))
    assert len({line.count("|") for line in lines}) == 1
    assert "| toy-hears | deaf | 51.2 (50.0 to 52.5) | 40.0 % |" in lines
    assert len(lines) == 6


def test_the_table_of_before_has_every_run_and_the_mean_over_seeds() -> None:
    def run(score: float, change: float) -> dict[str, object]:
        limits = {"interval": [score - 4, score + 4], "interval of the change": [change - 1, change + 1]}
        return {"CIDEr-D": score, "change": change, "true": 12.5, **limits}

    found = {"tuned-mixed": {"V": run(50.0, 0.0)}}
    found |= {f"toy-hears-{seed}": {"V": run(50.0 + seed, float(seed)), "AV": run(30.0, -20.0)} for seed in range(3)}
    lines = list(msrvtt_table(found))
    assert len({line.count("|") for line in lines}) == 1
    assert "| tuned-mixed | V | 50.0 (46.0 to 54.0) |  | 12.5 % |" in lines
    assert "| toy-hears-1 | V | 51.0 (47.0 to 55.0) | +1.0 (+0.0 to +2.0) | 12.5 % |" in lines
    assert "| toy-hears, mean of 3 | V | 51.0 | +1.0 (-1.5 to +3.5 over seeds) | 12.5 % |" in lines
    assert "| toy-hears, mean of 3 | AV | 30.0 | -20.0 (-20.0 to -20.0 over seeds) | 12.5 % |" in lines
