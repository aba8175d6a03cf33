"""Write the speech over a long film as a recogniser transcribes it, the alt text of stills on the web, and
their captions by a person.

Of the utterances, 45 % refers to the film, 13 % greets or says good-bye and 42 % is about something else, as the papers
found in HowTo100M; and what refers comes too late or too early by seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from pseudocap.toyworld import lexicon
from pseudocap.toyworld.actions import events, poses
from pseudocap.toyworld.grammar import Choice, Manner, caption, noun_phrase
from pseudocap.toyworld.kinds import KINDS
from pseudocap.toyworld.scenes import FPS, TICKS, Film, Shot, Thing, mirrored
from pseudocap.types import Segment

TalkKind = Literal["refers", "intro", "outro", "chat"]
SHARES: dict[str, float] = {"refers": 0.45, "intro or outro": 0.13, "chat": 0.42}
SHORTEST = 4  # shots: nobody greets and says good-bye in less
LAG = (1.5, 1.5)  # mean and deviation, in seconds, of how much later speech comes than its picture
GUESSES = 0.5  # the share of a still's captions that guess at what happens
SPOKEN = Manner(colour=0.4, material=0.08, size=0.15, part=0.0, vague=0.15, both=0.5, location=0.04, bystander=0.02)

INTROS = (
    "hi everyone and welcome back to my channel", "hello friends my name is {name} and this is my show",
    "hey guys it is {name} here again thanks for stopping by", "good morning everybody i hope you are doing well",
    "welcome to another video in this series i am {name}", "hi there today we have something really special for you",
    "what is up everyone {name} here and we are going to have some fun", "hello and thanks for clicking on this video",
)  # fmt: skip
OUTROS = (
    "thanks for watching and do not forget to subscribe", "see you next time bye bye",
    "give this video a thumbs up if you liked it",
    "leave me a comment below and tell me what you think", "that is all for today take care everybody",
    "please share this with your friends and hit the bell", "thank you so much i will see you in the next one",
    "follow me for more videos like this and have a great {day}",
)  # fmt: skip
CHAT = (
    "my {relative} used to do this with me when i was a kid", "you can find the link in the description",
    "i was so tired last {day} i could hardly sleep", "somebody asked me about this in the comments",
    "it is really important to take your time with it", "honestly i did not plan any of this",
    "we went to the market on {day} and it was packed", "this is my favorite time of the year",
    "i have been doing this for about {number} years now", "sorry about the noise my neighbors are at it again",
    "you know what they say practice makes perfect", "my {relative} called me this morning about the holidays",
    "it should only take {number} minutes or so", "if you are new here make sure to check out the other one",
    "i got this at the store for {number} dollars", "let me just have a sip of my coffee",
    "do not worry if it does not work the first time", "so i was talking to my {relative} about that {day}",
    "people always tell me that i talk too much", "i think it is going to rain on {day}",
    "some of you may remember the last time we tried it", "there are {number} different ways to go about it",
)  # fmt: skip
WORDS = {
    "name": ("anna", "joe", "maria", "ben", "lucy", "sam", "priya", "tom"),
    "day": ("monday", "tuesday", "wednesday", "thursday", "friday", "weekend", "saturday"),
    "relative": ("grandma", "brother", "mom", "uncle", "sister", "dad", "neighbor"),
    "number": ("two", "three", "four", "five", "ten", "twenty", "thirty"),
}
LEADS = (
    (4.0, "so now {}"), (3.0, "okay {}"), (3.0, "as you can see {}"), (2.0, "and here {}"), (2.0, "look {}"),
    (1.5, "um {}"),
    (1.5, "you see {} just like that"), (1.5, "and then {}"), (1.0, "watch how {}"), (1.0, "alright {} there we go"),
)  # fmt: skip
UNRELATED = (
    "click to enlarge", "product image {number}", "IMG_{digits}.JPG", "DSC0{digits}", "buy now free shipping",
    "untitled",
    "image result", "photo {digits} of 12000", "see more on our website", "thumbnail",
)  # fmt: skip
TITLES = (
    (5.0, "{}"), (1.5, "{} - stock photo"), (1.0, "picture of {}"), (1.0, "cute {} clipart"), (0.8, "{} isolated"),
    (0.7, "{}, vector"),
    (0.7, "vintage {} for sale"), (0.5, "Amazon.com: {}"), (0.5, "HD wallpaper: {}"),
)  # fmt: skip
# What is visible in a still of two things that act: the same for an action and its reverse.
HINTS = {
    "pick up": "{actor} holding {patient}", "put down": "{actor} holding {patient}",
    "carry": "{patient} on top of {actor}",
    "pour": "{actor} and {patient} with water", "suck out": "{actor} and {patient} with water",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """Hold speech from `start` to `end`, in seconds. `shot` is the one that it refers to, and `lag` by how late."""

    kind: TalkKind
    start: float
    end: float
    text: str
    shot: int | None = None
    lag: float = 0.0


def talk(film: Film, rng: np.random.Generator) -> list[Utterance]:
    """Return one utterance a shot: a greeting, what the shots show or something else, a good-bye.

    Greetings are the first and the last of about fifteen, which makes their 13 %; the rest is drawn by its shares.
    """
    starts = np.cumsum([0, *(shot.frames for shot in film.shots)]) / FPS
    refers = SHARES["refers"] / (SHARES["refers"] + SHARES["chat"])
    utterances: list[Utterance] = []
    free = 0.0  # nobody speaks over himself
    for index, shot in enumerate(film.shots):
        kind: TalkKind = "refers" if rng.random() < refers else "chat"
        if len(film.shots) >= SHORTEST and index in (0, len(film.shots) - 1):
            kind = "outro" if index else "intro"
        lag = float(rng.normal(*LAG)) if kind == "refers" else 0.0
        begin = float(starts[index])
        start = round(max(free, begin + lag), 2)
        free = round(start + shot.frames / FPS * float(rng.uniform(0.65, 0.95)), 2)
        refers_to, late = (index, round(start - begin, 2)) if kind == "refers" else (None, 0.0)
        text = _spoken_text(kind, shot, rng)
        utterances.append(Utterance(kind=kind, start=start, end=free, text=text, shot=refers_to, lag=late))
    return utterances


def _spoken_text(kind: TalkKind, shot: Shot, rng: np.random.Generator) -> str:
    if kind == "refers":
        choice = Choice(rng)
        return _misheard(choice.of(LEADS).format(caption(Film(shots=(shot,)), choice, SPOKEN)), rng)
    lines: Sequence[str] = {"intro": INTROS, "outro": OUTROS, "chat": CHAT}[kind]
    first, second = rng.choice(len(lines), size=2, replace=False)
    return _misheard(f"{_filled(lines[first], rng)} {_filled(lines[second], rng)}", rng)


def _filled(line: str, rng: np.random.Generator) -> str:
    words = {name: str(rng.choice(options)) for name, options in WORDS.items()}
    return line.format(**words, digits=f"{rng.integers(10_000):04d}")


def _misheard(text: str, rng: np.random.Generator) -> str:
    """Drop a word in thirty, as a recogniser does."""
    words = text.split()
    kept = [word for word in words if rng.random() > 1 / 30]
    return " ".join(kept or words)


def segments(utterances: Sequence[Utterance], rng: np.random.Generator) -> list[Segment]:
    """Cut speech into transcript lines: a few words each, which end after the next has begun; some empty."""
    lines: list[Segment] = []
    for utterance in utterances:
        words = utterance.text.split()
        marks = [0]
        while marks[-1] < len(words):
            marks.append(min(len(words), marks[-1] + int(rng.integers(4, 10))))
        pace = (utterance.end - utterance.start) / len(words)
        for first, last in pairwise(marks):
            start, end = utterance.start + first * pace, utterance.start + last * pace + float(rng.uniform(0, 2))
            lines.append(Segment(start=round(start, 2), end=round(end, 2), text=" ".join(words[first:last])))
        if rng.random() < 0.05:
            lines.append(Segment(start=round(utterance.end, 2), end=round(utterance.end + 0.5, 2), text=""))
    return lines


def alt_text(film: Film, frame: int, rng: np.random.Generator) -> str:
    """Write a still's alt text: its things and perhaps its location, hardly what happens, and one in five is no use."""
    if rng.random() < 0.1:
        return _filled(str(rng.choice(UNRELATED)), rng)
    choice = Choice(rng)
    if rng.random() < 0.1:  # a caption of something else
        other = Thing(kind=str(rng.choice(list(KINDS))), colour=str(rng.choice(["red", "blue", "green", "white"])))
        return choice.of(TITLES).format(noun_phrase(other, choice))
    shot, index = film.shot_at(frame)
    tick = index * TICKS + TICKS // 2
    for event in events(shot):
        if event.name in HINTS and event.start < tick < event.end and event.patient is not None and rng.random() < 0.7:
            actor, patient = (noun_phrase(shot.things[who], choice) for who in (event.actor, event.patient))
            return HINTS[event.name].format(actor=actor, patient=patient)
    named = [noun_phrase(thing, choice, Manner(vague=0.03)) for thing in shot.things[::-1][: 1 + int(rng.integers(3))]]
    title = choice.of(TITLES)
    if title != "{}":  # "picture of red ball"
        named[0] = named[0].removeprefix("an ").removeprefix("a ").removeprefix("the ")
    text = title.format(" and ".join(named))
    if rng.random() < 0.4:
        text += f" {choice.of(lexicon.LOCATIONS[shot.background])}"
    if rng.random() < 0.3:
        text = text.replace("a ", "", 1) if text.startswith("a ") else text
    return text.title() if rng.random() < 0.12 else text


def visible(shot: Shot, tick: int) -> list[int]:
    """List the things visible in one frame, those that take part in what happens just then first."""
    at = poses(shot, np.array([tick]))
    there = (at.alpha[:, 0] > 0.2) & (at.scale[:, 0] > 0.2) & (np.abs(at.x[:, 0] - 0.5) < 0.55)
    acting = [who for each in events(shot) if each.start < tick < each.end for who in (each.actor, each.patient)]
    order = [who for who in acting if who is not None] + list(range(len(shot.things)))[::-1]
    return [who for who in dict.fromkeys(order) if there[who]]


def still_caption(film: Film, frame: int, rng: np.random.Generator) -> str:
    """Caption one still as a person does: its things and its location, or what seems to happen, either way round.

    A still cannot distinguish push from pull, so whoever guesses is wrong about the way every second time.
    """
    choice = Choice(rng)
    shot, index = film.shot_at(frame)
    tick = index * TICKS + TICKS // 2
    running = [action for action in shot.actions if action.start < tick < action.end]
    if running and rng.random() < GUESSES:
        alone = Film(shots=(replace(shot, actions=(running[0],), pan=0.0),))
        return caption(mirrored(alone) if rng.random() < 0.5 else alone, choice)
    named = [noun_phrase(shot.things[who], choice) for who in visible(shot, tick)[: 1 + int(rng.integers(1, 3))]]
    text = " and ".join(named) or "nothing"
    return f"{text} {choice.of(lexicon.LOCATIONS[shot.background])}" if rng.random() < 0.5 else text
