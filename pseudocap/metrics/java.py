"""Run METEOR 1.5 and SPICE, the Java programs of pycocoevalcap, safely.

Both come with traps: METEOR reads and writes numbers as the machine's language does (and stops in Germany), a line
break in a caption shifts every later one, a Java that dies leaves its caller waiting for ever, and SPICE downloads
its models in the middle of an evaluation. Here Java runs in English, breaks are removed, there is a time limit, a
failure quotes Java's output, and `obstacle` checks before a run begins whether it can work at all.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pseudocap.metrics.references import Floats, Predictions

TIMEOUT = 900.0
ENGLISH = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8")
METEOR_OPTIONS = ("-", "-", "-stdio", "-l", "en", "-norm")
METEOR_NUMBERS = 23  # what METEOR counts for one caption; sums of them give the score of a corpus
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75  # METEOR 1.5's for English
STAGE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])  # exact, stem, synonym, paraphrase


class JavaError(RuntimeError):
    """Report that Java failed; the message is the reason. Caught by `score`, so one metric fails, not all."""


def obstacle(name: str) -> str:
    """Explain why METEOR or SPICE cannot run on this machine; empty when no obstacle is known."""
    spec = importlib.util.find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        return "pycocoevalcap is not installed (pip install pycocoevalcap)"
    home = Path(next(iter(spec.submodule_search_locations)))
    parts = {
        "METEOR": [home / "meteor/meteor-1.5.jar", home / "meteor/data/paraphrase-en.gz"],
        "SPICE": [home / "spice/spice-1.0.jar", home / "spice/lib/stanford-corenlp-3.6.0-models.jar"],
    }
    for part in parts[name]:
        if not part.is_file():
            download = "; python -m pycocoevalcap.spice.get_stanford_models fetches it (about 0.4 GB)"
            return f"{part.name} is not in pycocoevalcap" + (download if name == "SPICE" else "; install it again")
    return _no_java(shutil.which("java"))


@functools.cache
def _no_java(java: str | None) -> str:
    if java is None:
        return "there is no java on this machine; install a Java runtime (8 or newer)"
    try:
        run = subprocess.run([java, "-version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"java does not start: {error}"
    return "" if run.returncode == 0 else f"java does not start: {_last_lines(run.stderr)}"


def meteor_counts(predictions: Predictions, *, timeout: float = TIMEOUT) -> Floats:
    """Return what METEOR counts for each video, [n, 23]."""
    lines = []
    for text, theirs in zip(predictions.texts, _references(predictions), strict=True):
        lines.append(" ||| ".join(["SCORE", *map(_one_line, theirs), _one_line(text)]))
    out = _java("meteor", ["-Xmx2G", "-jar", "meteor-1.5.jar", *METEOR_OPTIONS], lines, timeout)
    rows = [line.split() for line in out.splitlines()]
    if len(rows) != len(predictions) or any(len(row) != METEOR_NUMBERS for row in rows):
        raise JavaError(f"METEOR answered {len(rows)} of {len(predictions)} captions; it stopped at {rows[-1:]}")
    counts = np.array(rows, float)
    length, their_length, chunks, matched, their_matched = counts.T[[0, 1, 20, 21, 22]]
    complete = (matched == length) & (their_matched == their_length) & (chunks == 1)
    counts[complete, 20] = 0  # a caption that is its reference counts as unbroken
    return counts


def meteor(totals: Floats) -> Floats:
    """Return METEOR of sums of `meteor_counts`, along the last axis."""
    length, their_length, function, their_function = np.moveaxis(totals[..., :4], -1, 0)
    stages = totals[..., 4:20].reshape(*totals.shape[:-1], 4, 4)  # of each: content, theirs, function words, theirs
    chunks, matched, their_matched = np.moveaxis(totals[..., 20:], -1, 0)
    content, theirs, words, their_words = np.moveaxis(STAGE_WEIGHTS @ stages, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weighted = DELTA * (length - function) + (1 - DELTA) * function
        their_weighted = DELTA * (their_length - their_function) + (1 - DELTA) * their_function
        precision = (DELTA * content + (1 - DELTA) * words) / weighted
        recall = (DELTA * theirs + (1 - DELTA) * their_words) / their_weighted
        mean = 1 / ((1 - ALPHA) / precision + ALPHA / recall)
        fragments = chunks / ((matched + their_matched) / 2)
        value = mean * (1 - GAMMA * fragments**BETA)
    return np.maximum(np.nan_to_num(value), 0)


def spice(predictions: Predictions, *, timeout: float = TIMEOUT) -> Floats:
    """Return SPICE's F-score of each video; a caption in which it finds no scene has 0, as in coco-caption's sum."""
    entries = [
        {"image_id": number, "test": text, "refs": theirs}
        for number, (text, theirs) in enumerate(zip(predictions.texts, _references(predictions), strict=True))
    ]
    with tempfile.TemporaryDirectory() as folder:
        request, response = Path(folder, "in.json"), Path(folder, "out.json")
        request.write_text(json.dumps(entries), encoding="utf-8")
        arguments = ["-Xmx8G", "-jar", "spice-1.0.jar", str(request), "-out", str(response), "-silent"]
        _java("spice", arguments, [], timeout)
        if not response.is_file():
            raise JavaError("SPICE ended without a result")
        results = {row["image_id"]: row["scores"]["All"]["f"] for row in json.loads(response.read_text("utf-8"))}
    return np.nan_to_num([float(results[number]) for number in range(len(predictions))])


def _java(package: str, arguments: Sequence[str], lines: Sequence[str], timeout: float) -> str:
    spec = importlib.util.find_spec(f"pycocoevalcap.{package}")
    java = shutil.which("java")
    if spec is None or not spec.submodule_search_locations or java is None:
        raise JavaError(obstacle(package.upper()) or f"pycocoevalcap.{package} cannot be found")
    home = next(iter(spec.submodule_search_locations))
    # The language is set on the command line, after whatever JAVA_TOOL_OPTIONS sets, and for the C library too.
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
    try:
        run = subprocess.run(
            [java, *ENGLISH, *arguments],
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            cwd=home,
            env=environment,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        output = f"; its output: {_last_lines(error.stderr)}" if error.stderr else ""
        raise JavaError(f"java did not finish within {timeout:g} s{output}") from None
    except OSError as error:
        raise JavaError(f"java does not start: {error}") from None
    if run.returncode != 0:
        raise JavaError(f"java ended with {run.returncode}; its output: {_last_lines(run.stderr)}")
    return run.stdout


def _references(predictions: Predictions) -> list[list[str]]:
    references = predictions.references
    ends = np.cumsum(references.per_video)
    return [references.texts[ends[v] - references.per_video[v] : ends[v]] for v in predictions.video]


def _one_line(text: str) -> str:
    """Return a caption without what METEOR takes for the end of one."""
    return " ".join(text.replace("|||", "").split())


def _last_lines(stderr: str | bytes) -> str:
    text = stderr.decode("utf-8", "replace") if isinstance(stderr, bytes) else stderr
    lines = [line.strip() for line in text.splitlines() if not line.startswith("Picked up ")]
    return " / ".join([line for line in lines if line][-3:]) or "nothing"
