"""Measure what scores in the toy world without watching, and how fast its films are made: python -m
pseudocap.bench.speed.toyworld cheats | speed

`cheats` scores on the MSR-VTT-like test films, 20 references each, captions of speakers who know less and less: the
full truth, every frame but not their order, one frame, the list of things, nothing. All but the crowd use the same
plain words, the commonest of the grammar, so they differ in what they know. `speed` times drawing and encoding, in
processor time of one process, and complete films through `toyworld write`.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pseudocap.bench.speed.measure import parser_of
from pseudocap.bench.tables import head, row
from pseudocap.evaluate.captioner import one_against_the_others
from pseudocap.metrics.measures import METRICS
from pseudocap.metrics.references import References
from pseudocap.metrics.suite import score
from pseudocap.toyworld import film as files
from pseudocap.toyworld import lexicon
from pseudocap.toyworld.corpora import CORPORA, captions_at, film_at
from pseudocap.toyworld.grammar import PLAIN, caption, full_truth, noun_phrase, objects_only
from pseudocap.toyworld.render import render_film
from pseudocap.toyworld.scenes import TICKS, Film, Shot, mirrored
from pseudocap.toyworld.speech import visible
from pseudocap.toyworld.write import write_world

CORPUS = "msrvtt"


def centre(film: Film) -> tuple[Shot, int]:
    """Return the shot and its tick in the middle of the film, where a teacher looks."""
    shot, frame = film.shot_at(film.frames // 2)
    return shot, frame * TICKS + TICKS // 2


def still(film: Film) -> str:
    """Describe the centre frame: its things and its setting."""
    shot, tick = centre(film)
    named = " and ".join(noun_phrase(shot.things[who], PLAIN) for who in visible(shot, tick)[:2])
    return f"{named or 'nothing'} {PLAIN.of(lexicon.LOCATIONS[shot.background])}"


def still_with_a_guess(film: Film, rng: np.random.Generator) -> str:
    """Describe the centre frame, knowing every action from a single pose, and flipping a coin for its direction."""
    shot, tick = centre(film)
    running = [action for action in shot.actions if action.start < tick < action.end]
    if not running:
        return still(film)
    alone = Film(shots=(replace(shot, actions=(running[0],), pan=0.0, light=1.0),))
    return caption(mirrored(alone) if rng.random() < 0.5 else alone, PLAIN)


def best_constant(indices: range, seed: int) -> str:
    """Return the sentence that scores best for every training film; of the crowd's and of its commonest."""
    references = {index: captions_at(CORPUS, "train", index, seed=seed) for index in indices}
    prepared = References(references)
    counted = Counter(text for texts in references.values() for text in texts)
    rng = np.random.default_rng(seed)
    drawn = rng.choice(sorted(counted), size=min(150, len(counted)), replace=False).tolist()
    candidates = dict.fromkeys([text for text, _ in counted.most_common(150)] + drawn)

    def value(text: str) -> float:
        return score(predictions=dict.fromkeys(indices, text), references=prepared, metrics=("CIDEr-D",))["CIDEr-D"]

    return max(candidates, key=value)


def cheats(films: int, seed: int) -> None:
    """Print the table."""
    scenes = {index: film_at(CORPUS, "test", index, seed=seed) for index in range(films)}
    references = {index: captions_at(CORPUS, "test", index, seed=seed) for index in scenes}
    prepared = References(references)
    rng = np.random.default_rng(seed)
    constant = best_constant(range(200), seed)
    speakers: dict[str, Callable[[Film], str]] = {
        f'nothing (the best constant: "{constant}")': lambda film: constant,
        "the list of acting things": objects_only,
        "the centre frame: its things and place": still,
        "the centre frame and what goes on, but not which way": lambda film: still_with_a_guess(film, rng),
        "every frame, in the reverse order": lambda film: full_truth(mirrored(film)),
        # A film and its mirror image are the same to this speaker.
        "every frame, but not their order": lambda film: full_truth(mirrored(film) if rng.random() < 0.5 else film),
        "everything": full_truth,
    }
    print(head("what the speaker knows", *METRICS))
    for name, speak in speakers.items():
        predictions = {index: speak(film) for index, film in scenes.items()}
        print(_row(name, score(predictions=predictions, references=prepared, metrics=METRICS)), flush=True)
    print(_row("everything, one of the crowd against the other 19", one_against_the_others(references)))


def _row(name: str, values: dict[str, float]) -> str:
    return row(name, *(f"{values[metric]:.1f}" for metric in METRICS))


def speed(films: int, sizes: list[int], workers: int) -> None:
    """Print what a ten-second film costs, and how many a second `toyworld write` makes."""
    print(head("pixels", "drawing, ms", "encoding, ms", "kB a film"))
    scenes = [film_at(CORPUS, "train", index, seed=0) for index in range(films)]
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "film.mp4"
        for size in sizes:
            begin = time.process_time()
            drawn = [list(render_film(scene, size)) for scene in scenes]
            between = time.process_time()
            total = 0
            for frames in drawn:
                files.encode(path, frames)
                total += path.stat().st_size
            drawing, encoding = between - begin, time.process_time() - between
            print(row(size, *(f"{each / films * 1e3:.1f}" for each in (drawing, encoding, total / 1e6))))
        begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        write_world(Path(temporary) / "world", scale="full", corpora=["own"], size=sizes[0], workers=workers)
        took, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    recipe = CORPORA["own"]
    spans = sum(film_at("own", split, index, seed=0).seconds for split, index in recipe.indices("full"))
    work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"\n{spans:.0f} s of film by {workers} workers in {took:.1f} s: {spans / 10 / took:.1f} films of ten seconds")
    print(f"a second (processor time {work:.1f} s, the start of the processes included)")


def main() -> None:
    parser = parser_of("toyworld", __doc__)
    parser.add_argument("what", choices=["cheats", "speed"])
    parser.add_argument("--films", type=int, default=500, help="films that are scored or drawn (default 500)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the world (default 0)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96], help="speed: pixels of a side")
    parser.add_argument("--workers", type=int, default=2, help="speed: processes that write (default 2)")
    args = parser.parse_args()
    if args.what == "cheats":
        cheats(args.films, args.seed)
    else:
        speed(args.films, args.sizes, args.workers)


if __name__ == "__main__":
    main()
