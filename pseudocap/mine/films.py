"""Choose the videos that are mined, by what is known of them: their length, their age, how often they were viewed.

The paper mines videos of more than 1,000 views and less than 20 minutes that were uploaded within 10 years, but at
least 90 days ago. What is not known of a video does not exclude it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath

from pseudocap.errors import ConfigError, DataError, nearest
from pseudocap.files import reading
from pseudocap.rows import read_records

FIELDS = ("video", "seconds", "views", "uploaded", "category")
DAYS = 365.25  # of a year


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmFacts:
    """Hold what is known of a video."""

    seconds: float | None = None
    views: float | None = None
    uploaded: date | None = None
    category: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmFilter:
    """Exclude videos by what is known of them; 0 switches a bound off. Ages are those on `day`."""

    facts: Mapping[str, FilmFacts] = field(default_factory=dict)
    max_minutes: float = 20.0
    min_views: float = 1000.0
    min_age_days: float = 90.0
    max_age_years: float = 10.0
    day: date | None = None

    def __post_init__(self) -> None:
        for name in ("max_minutes", "min_views", "min_age_days", "max_age_years"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name):g} and must be 0 (off) or more")

    @property
    def recorded(self) -> Mapping[str, object]:
        """Return the bounds as a run's settings; of a run without facts there are none."""
        if not self.facts:
            return {}
        fields = {name: value for name, value in asdict(self).items() if name not in ("facts", "day")}
        return {**fields, "day": None if self.day is None else self.day.isoformat()}

    def known(self, name: str) -> FilmFacts | None:
        """Return what is known of a source: under its name, the name of its file, or that without the extension."""
        path = PurePosixPath(name)
        return next((self.facts[each] for each in (name, path.name, path.stem) if each in self.facts), None)

    def objection(self, name: str) -> str:
        """Return why a source is left out, as a word; empty where it is mined."""
        facts = self.known(name)
        if facts is None:
            return ""
        if self.max_minutes and facts.seconds is not None and facts.seconds >= 60 * self.max_minutes:
            return "too long"
        if self.min_views and facts.views is not None and facts.views <= self.min_views:
            return "too few views"
        if self.day is not None and facts.uploaded is not None:
            days = (self.day - facts.uploaded).days
            if self.min_age_days and days < self.min_age_days:
                return "too new"
            if self.max_age_years and days > DAYS * self.max_age_years:
                return "too old"
        return ""


def read_facts(path: Path) -> dict[str, FilmFacts]:
    """Read a CSV or JSON lines with `video` and any of seconds, views, uploaded (2021-05-31) and category."""
    facts: dict[str, FilmFacts] = {}
    for where, record in _records(path):
        name = reading.identifier(reading.field(record, "video", str, where=where), "video", where=where)
        assert isinstance(record, Mapping), "its field was read"
        for other in record.keys() - set(FIELDS):
            raise DataError(f"{where}: unknown field {other!r}{nearest(other, FIELDS)}; there are {', '.join(FIELDS)}")
        given = {key: value for key, value in record.items() if value not in (None, "")}
        numbers = {key: reading.number(given[key], key, where=where) for key in ("seconds", "views") if key in given}
        facts[name] = FilmFacts(
            **numbers,
            uploaded=_day(given["uploaded"], where) if "uploaded" in given else None,
            category=str(given.get("category", "")),
        )
    return facts


def _records(path: Path) -> list[tuple[str, object]]:
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise DataError(f"--metadata {path} must be a .csv or .jsonl with the field video and others of its videos")
    return list(read_records(path))


def _day(value: object, where: str) -> date:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        raise DataError(f"{where}: uploaded is {value!r} and must be a day such as 2021-05-31 (or 20210531)") from None
