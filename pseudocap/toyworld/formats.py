"""Write the world's annotations in the real corpora's formats; `pseudocap.data` reads them back, unchanged."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pseudocap.data.corpora.msrvtt import LAYOUTS
from pseudocap.data.corpora.msvd import MAPPINGS, SENTS
from pseudocap.files.atomic import unfinished_group, write_text
from pseudocap.files.tars import add_member
from pseudocap.toyworld.actions import events
from pseudocap.toyworld.corpora import (
    SPLITS,
    CorpusRecipe,
    Scale,
    captions_at,
    film_at,
    filmed,
    questions_at,
    sound_captions_at,
    soundtrack_at,
    word_generator,
)
from pseudocap.toyworld.render import render
from pseudocap.toyworld.scenes import FPS, TICKS, Film
from pseudocap.toyworld.speech import alt_text, segments, talk
from pseudocap.video.picture import jpeg

MSRVTT_SPLITS = {"train": "train", "val": "validate", "test": "test"}
SHARD = 1000  # stills in a tar
YOUTUBE = "https://www.youtube.com/watch?v={}"


def video_name(recipe: CorpusRecipe, scale: Scale, split: str, index: int, film: Film) -> str:
    """Return the name of a film without its extension, as the corpus would name it."""
    before = sum(recipe.films[scale][name] for name in SPLITS[: SPLITS.index(split)] if name in recipe.films[scale])
    if recipe.name == "msrvtt":
        return f"video{before + index}"
    if recipe.name == "msvd":  # eleven characters as YouTube's, in the order of the alphabet; cut from somewhere
        start = 7 * index % 90
        return f"-toy{before + index:07d}_{start}_{start + max(1, round(film.seconds))}"
    return f"{filmed(recipe.name).name}{before + index:06d}"


def describe_film(film: Film) -> dict[str, Any]:
    """Return the exact scene and its named events, with seconds: for people and for JSON."""
    shots = []
    begin = 0.0
    for shot in film.shots:
        happens = [
            asdict(event) | {"start": begin + event.start / TICKS / FPS, "end": begin + event.end / TICKS / FPS}
            for event in events(shot)
        ]
        shots.append(asdict(shot) | {"start": begin, "end": begin + shot.frames / FPS, "events": happens})
        begin += shot.frames / FPS
    return {"seconds": film.seconds, "frames": film.frames, "shots": shots}


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file that appears under its name once it is complete."""
    write_text(path, "".join(f"{line}\n" for line in lines))


def write_rows(path: Path, *rows: object) -> None:
    """Write a line of JSON for each."""
    write_lines(path, map(json.dumps, rows))


def films(recipe: CorpusRecipe, scale: Scale, seed: int) -> Iterator[tuple[str, int, str, Film]]:
    """Yield split, index, name and scene of every film of a corpus."""
    for split, index in recipe.indices(scale):
        film = film_at(recipe.name, split, index, seed=seed)
        yield split, index, video_name(recipe, scale, split, index, film), film


def write_scenes(folder: Path, recipe: CorpusRecipe, scale: Scale, seed: int) -> None:
    """Write scenes.jsonl: the exact scene of every film. The labelled clips are pre-trained on this."""
    rows = films(recipe, scale, seed)
    write_rows(
        folder / "scenes.jsonl",
        *({"video": f"{name}.mp4", "split": split, **describe_film(film)} for split, _, name, film in rows),
    )


def write_sounds(folder: Path, recipe: CorpusRecipe, scale: Scale, seed: int) -> None:
    """Write sounds.jsonl: the exact sounds of every film, with seconds."""
    rows = []
    for split, index, name, _ in films(recipe, scale, seed):
        track = soundtrack_at(recipe.name, split, index, seed=seed)
        noises = [
            {
                "name": noise.name,
                "start": noise.start / TICKS / FPS,
                "end": noise.end / TICKS / FPS,
                "loudness": [noise.loudness, noise.final],
                "off_screen": noise.thing is None,
            }
            for noise in track.noises
        ]
        rows.append({"video": f"{name}.mp4", "split": split, "silent": track.silent, "sounds": noises})
    write_rows(folder / "sounds.jsonl", *rows)


def write_valor(folder: Path, recipe: CorpusRecipe, scale: Scale, seed: int) -> None:
    """Write the three files of VALOR-32K, one caption each; all captions as a user's own; and AudioCaps' three, which
    say what is heard alone and leave out the films where nothing is."""
    described: dict[str, list[dict[str, str]]] = {split: [] for split in SPLITS}
    sounding: dict[str, list[str]] = {split: ["audiocap_id,youtube_id,start_time,caption"] for split in SPLITS}
    own = []
    number = 0
    for split, index, name, _ in films(recipe, scale, seed):
        captions = captions_at(recipe.name, split, index, seed=seed)
        described[split].append({"video_id": name, "desc": captions[0]})
        own.append({"video": f"{name}.mp4", "caption": captions, "split": split})
        for caption in sound_captions_at(recipe.name, split, index, seed=seed):
            number += 1
            sounding[split].append(f"{number},{name},0,{caption}")  # no caption has a comma
    for split in SPLITS:
        write_rows(folder / f"desc_{split}.json", described[split])
        write_lines(folder / f"{split}.csv", sounding[split])
    write_rows(folder / "captions.jsonl", *own)


def write_questions(folder: Path, recipe: CorpusRecipe, scale: Scale, seed: int) -> None:
    """Write the three files of MSR-VTT-QA, with each question's kind beside it."""
    number = 0
    for split in SPLITS:
        rows = []
        for _, index, name, _ in (film for film in films(recipe, scale, seed) if film[0] == split):
            for question in questions_at(split, index, seed=seed):
                row = {"answer": question.answer, "category_id": index % 20, "id": number, "question": question.text}
                rows.append(row | {"video_id": name, "kind": question.kind})
                number += 1
        write_rows(folder / f"{split}_qa.json", rows)


def write_clip_labels(folder: Path, recipe: CorpusRecipe, scale: Scale, seed: int) -> None:
    """Write labels.jsonl: one line a clip, with the one action and the appearance of who takes part."""
    rows = []
    for split, _, name, film in films(recipe, scale, seed):
        (shot,) = film.shots
        (event,) = events(shot)
        actor, patient = shot.things[event.actor], None if event.patient is None else shot.things[event.patient]
        label: dict[str, Any] = {"video": f"{name}.mp4", "split": split}
        label |= {"action": event.name, "direction": event.direction}
        for role, thing in (("actor", actor), ("patient", patient)):
            label[role] = thing and {key: getattr(thing, key) for key in ("kind", "colour", "material", "size")}
        rows.append(label | {"background": shot.background})
    write_rows(folder / "labels.jsonl", *rows)


def write_msrvtt(folder: Path, recipe: CorpusRecipe, scale: Scale, seed: int) -> None:
    """Write the official pair of files of MSR-VTT."""
    tables: list[dict[str, Any]] = [{"info": {"description": "toy world"}, "videos": [], "sentences": []} for _ in "ab"]
    sentence = 0
    for split, index, name, film in films(recipe, scale, seed):
        table = tables[split == "test"]
        number = int(name.removeprefix("video"))
        table["videos"].append(
            {"id": number, "video_id": name, "category": number % 20, "url": YOUTUBE.format(f"toy{number:08d}")}
            | {"start time": 0.0, "end time": film.seconds, "split": MSRVTT_SPLITS[split]}
        )
        for caption in captions_at(recipe.name, split, index, seed=seed):
            table["sentences"].append({"sen_id": sentence, "video_id": name, "caption": caption})
            sentence += 1
    for name, table in zip(LAYOUTS[0], tables, strict=True):
        write_rows(folder / name, table)


def write_msvd(folder: Path, recipe: CorpusRecipe, scale: Scale, seed: int) -> None:
    """Write the three lists and the mapping of MSVD."""
    lines: dict[str, list[str]] = {split: [] for split in SPLITS}
    mapping = []
    for number, (split, index, name, _) in enumerate(films(recipe, scale, seed), start=1):
        mapping.append(f"{name} vid{number}")
        lines[split] += [f"vid{number}\t{caption}" for caption in captions_at(recipe.name, split, index, seed=seed)]
    for split, found in lines.items():
        write_lines(folder / SENTS[split], found)
    write_lines(folder / MAPPINGS[0], mapping)


def write_own(folder: Path, recipe: CorpusRecipe, scale: Scale, seed: int) -> None:
    """Write captions.jsonl, as `read_own` takes it: without a split, so that it serves for training or for testing."""
    rows = [
        {"video": f"{name}.mp4", "caption": captions_at(recipe.name, split, index, seed=seed)}
        for split, index, name, _ in films(recipe, scale, seed)
    ]
    write_rows(folder / "captions.jsonl", *rows)


def write_language(folder: Path, recipe: CorpusRecipe, scale: Scale, seed: int, *, language: str) -> None:
    """Write captions.es.jsonl and its likes, as `read_own` takes them: every film's captions in a language."""
    rows = (
        {
            "video": f"{name}.mp4",
            "caption": captions_at(recipe.name, split, index, seed=seed, language=language),
            "split": split,
            "language": language,
        }
        for split, index, name, _ in films(recipe, scale, seed)
    )
    write_lines(folder / f"captions.{language}.jsonl", (json.dumps(row, ensure_ascii=False) for row in rows))


def write_talking(folder: Path, recipe: CorpusRecipe, scale: Scale, seed: int) -> None:
    """Write caption.json, HowTo100M's transcripts; and utterances.jsonl, the truth about each utterance."""
    transcripts: dict[str, dict[str, list[Any]]] = {}
    truth = []
    for split, index, name, film in films(recipe, scale, seed):
        rng = word_generator(recipe.name, split, index, seed=seed)
        utterances = talk(film, rng)
        lines = segments(utterances, rng)
        transcripts[name] = {key: [getattr(line, key) for line in lines] for key in ("start", "end", "text")}
        truth += [{"video": f"{name}.mp4", **asdict(utterance)} for utterance in utterances]
    write_rows(folder / "caption.json", transcripts)
    write_rows(folder / "utterances.jsonl", *truth)


def write_stills(path: Path, indices: Iterable[int], *, size: int, seed: int) -> None:
    """Write a tar of stills with alt text as img2dataset does, and the parquet beside it; the tar is renamed last."""
    import pyarrow
    import pyarrow.parquet

    rows = []
    with unfinished_group(path.with_suffix(".parquet"), path) as (listed, tar):
        with tarfile.open(tar, "w") as archive:
            for index in indices:
                row, still = _still(index, size, seed)
                rows.append(row)
                contents = {"jpg": still, "json": json.dumps(row).encode(), "txt": row["caption"].encode()}
                for extension, content in contents.items():
                    add_member(archive, f"{row['key']}.{extension}", content)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), listed)


def _still(index: int, size: int, seed: int) -> tuple[dict[str, Any], bytes]:
    film = film_at("stills", "train", index, seed=seed)
    rng = word_generator("stills", "train", index, seed=seed)
    frame = int(rng.integers(film.frames))
    row = {"key": f"{index // SHARD:05d}{index % SHARD:04d}", "status": "success"}
    row |= {"caption": alt_text(film, frame, rng), "url": f"https://example.org/toyworld/{seed}/{index}.jpg"}
    return row | {"width": size, "height": size}, jpeg(render(film, frame, size))
