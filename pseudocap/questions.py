"""Read questions about videos: their form, and the prompt that a captioner learns them as and is asked them as."""

from __future__ import annotations

from collections.abc import Sequence

from pseudocap.errors import InputError

FORMS = ("what", "who", "how", "where", "when", "which", "why")  # by the word that says what is wanted
ANSWER_TOKENS = 16  # of an answer, unless more are requested


def prompt_of(question: str) -> str:
    """Return a question as a prompt: in lower case, its white space single, with one question mark at its end. All
    questions are learned and asked so: datasets differ in this alone. InputError where it has no word."""
    words = " ".join(question.lower().split()).rstrip(" ?.!")
    if not any(character.isalnum() for character in words):
        raise InputError(f"the question {question!r} has no words; write one, as in 'what is the man doing?'")
    return f"{words}?"


def form_of(question: str) -> str:
    """Return the first of FORMS that a question has, as MSR-VTT-QA and MSVD-QA sort theirs; other where it has none."""
    words = question.lower().replace("?", " ").split()
    return next((word for word in words if word in FORMS), "other")


def listed(questions: str | Sequence[str]) -> list[str]:
    """Return one question or several as a list of prompts."""
    given = [questions] if isinstance(questions, str) else list(questions)
    if not given:
        raise InputError("there is no question; ask one, as in 'what is the man doing?'")
    return [prompt_of(question) for question in given]
