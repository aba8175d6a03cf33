"""Report an audit: the papers' figures as these raters see them, how certain, and how far the raters agree.

A clip counts once, however many raters judged it: its value is the share of them who judged it so. The intervals are
Wilson's for that many clips, the sample being of clips and not of raters.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from pseudocap.errors import DataError
from pseudocap.label.audit.judgement import AuditPair, Judgement
from pseudocap.label.audit.store import AuditStore

Z = 1.959963984540054  # the normal distribution's 97.5 % point
REFERRING = ("correct", "wrong")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Define one figure: whom it counts. `papers` is what the papers found in 100 clips, in percent, where they say."""

    name: str
    says: str
    holds: Callable[[Judgement], bool]
    papers: int | None = None


QUESTIONS = (
    Question(name="asr_refers", says="speech refers to the video", holds=lambda j: j.asr in REFERRING, papers=45),
    Question(name="asr_intro", says="speech is intro or outro", holds=lambda j: j.asr == "intro", papers=13),
    Question(name="asr_chit_chat", says="speech is chit-chat", holds=lambda j: j.asr == "chit-chat", papers=42),
    Question(name="asr_correct", says="speech is correct", holds=lambda j: j.asr == "correct"),
    Question(
        name="pseudolabel_correct", says="pseudolabel is correct", holds=lambda j: j.pseudolabel == "correct", papers=88
    ),
    Question(
        name="pseudolabel_better", says="pseudolabel is better", holds=lambda j: j.better == "pseudolabel", papers=65
    ),
    Question(name="asr_better", says="speech is better", holds=lambda j: j.better == "asr"),
    Question(name="tie", says="neither is better", holds=lambda j: j.better == "tie"),
)

# Of texts that are judged alone. VideoCC found 91 of 100 mined clips so.
ALONE = (
    Question(
        name="aligned",
        says="at least one frame is aligned with the caption",
        holds=lambda j: j.pseudolabel == "correct",
        papers=91,
    ),
)

# What two raters may agree on.
SUBJECTS: Mapping[str, Callable[[Judgement], str]] = {
    "better": lambda judgement: judgement.better,
    "pseudolabel": lambda judgement: judgement.pseudolabel,
    "asr": lambda judgement: judgement.asr,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """Hold a share of the judged clips with its 95 % interval, in percent."""

    name: str
    says: str
    share: float
    low: float
    high: float
    papers: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Hold the agreement of two raters on the `clips` that both judged: in percent, and Cohen's kappa.

    Kappa is None where both gave one and the same answer throughout, or judged no clip in common: then it is undefined.
    """

    raters: tuple[str, str]
    subject: str
    clips: int
    agreed: float | None
    kappa: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditReport:
    """Hold an audit's result: over all raters, of each, and between each two of them.

    `left` is the percentage of left among the judgements that prefer a side: far from 50, a rater prefers a side.
    """

    pairs: int
    seed: int
    clips: int
    judgements: int
    figures: tuple[Figure, ...]
    judged_by: dict[str, int]
    by_rater: dict[str, tuple[Figure, ...]]
    agreements: tuple[Agreement, ...]
    left: float | None


def report_of(store: AuditStore) -> AuditReport:
    """Compute the figures of all the answers stored so far."""
    judgements = store.judgements()
    if not judgements:
        raise DataError(
            f"{store.path} has no answer yet to its {len(store.pairs)} pairs; judge some: pseudocap audit LABELS "
            "--asr TRANSCRIPTS"
        )
    questions, subjects = (ALONE, ["pseudolabel"]) if store.alone else (QUESTIONS, list(SUBJECTS))
    raters = sorted({judgement.rater for judgement in judgements})
    of_rater = {rater: [each for each in judgements if each.rater == rater] for rater in raters}
    sided = [judgement for judgement in judgements if judgement.better != "tie"]
    left = sum(judgement.better == judgement.left for judgement in sided)
    return AuditReport(
        pairs=len(store.pairs),
        seed=store.seed,
        clips=len({judgement.pair for judgement in judgements}),
        judgements=len(judgements),
        figures=figures(judgements, questions),
        judged_by={rater: len(of_rater[rater]) for rater in raters},
        by_rater={rater: figures(of_rater[rater], questions) for rater in raters},
        agreements=tuple(
            agreement(of_rater[one], of_rater[other], subject)
            for one, other in combinations(raters, 2)
            for subject in subjects
        ),
        left=100 * left / len(sided) if sided else None,
    )


def figures(judgements: Sequence[Judgement], questions: Sequence[Question] = QUESTIONS) -> tuple[Figure, ...]:
    """Return every question's share of clips; there is at least one judgement."""
    raters = Counter(judgement.pair for judgement in judgements)
    rows = []
    for question in questions:
        count = sum(question.holds(judgement) / raters[judgement.pair] for judgement in judgements)
        low, high = wilson(count, len(raters))
        share = 100 * count / len(raters)
        rows.append(
            Figure(name=question.name, says=question.says, share=share, low=low, high=high, papers=question.papers)
        )
    return tuple(rows)


def wilson(count: float, of: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval for `count` out of `of`, in percent; never wider than 0 to 100."""
    share, spread = count / of, Z * Z / of
    centre = (share + spread / 2) / (1 + spread)
    reach = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return 100 * max(0.0, centre - reach), 100 * min(1.0, centre + reach)


def agreement(ours: Sequence[Judgement], theirs: Sequence[Judgement], subject: str) -> Agreement:
    """Compute the agreement of two raters' judgements, one a clip each, on one subject."""
    of = SUBJECTS[subject]
    first, second = ({judgement.pair: of(judgement) for judgement in side} for side in (ours, theirs))
    both = [(first[pair], second[pair]) for pair in first if pair in second]
    agreed = sum(one == other for one, other in both) / len(both) if both else None
    return Agreement(
        raters=(ours[0].rater, theirs[0].rater),
        subject=subject,
        clips=len(both),
        agreed=None if agreed is None else 100 * agreed,
        kappa=cohen(both),
    )


def cohen(answers: Sequence[tuple[str, str]]) -> float | None:
    """Return Cohen's kappa: agreement beyond the chance that two raters' habits give, as a share of what was left."""
    total = len(answers)
    ours, theirs = Counter(one for one, _ in answers), Counter(other for _, other in answers)
    by_chance = sum(ours[answer] * theirs[answer] for answer in ours)  # x total^2, whole numbers: 1 is exactly 1
    if by_chance == total * total:
        return None
    agreed = sum(one == other for one, other in answers)
    return (agreed * total - by_chance) / (total * total - by_chance)


def judged_pairs(store: AuditStore) -> list[tuple[AuditPair, list[Judgement]]]:
    """Return every pair with its judgements, for people who read along."""
    judgements = store.judgements()
    return [(pair, [each for each in judgements if each.pair == pair.id]) for pair in store.pairs.values()]
