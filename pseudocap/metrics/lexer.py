"""Scan text by a table of rules: at each position the longest match wins, and of equals the earlier row.

That is how JFlex's scanners choose, and Python's `re` does not (its first alternative wins), so a tokenizer that must
equal one made by JFlex needs this. The rules become one automaton whose states are computed when text first
reaches them, so nothing is built that no caption needs and every later character costs one dictionary look-up.

Patterns: literals match both cases, sets `[a-z]` and `[^a-z]` only what they list; `( ) | ? * + {m,n}` as ever;
`\\x` is x itself; `{NAME}` stands for an entry of `names`, a pattern or a test of one character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Test = Callable[[str], bool]
Node = tuple[Any, ...]  # ("set", test) | ("all", nodes) | ("any", nodes) | ("repeat", node, low, high or None)

PIECE = re.compile(
    r"\[(?P<negated>\^?)(?P<members>(?:\\.|[^\]\\])+)\]|\{(?P<name>[A-Z]\w*)\}"
    r"|(?P<times>[?*+]|\{\d+,\d+\})|(?P<mark>[()|])|\\(?P<escaped>.)|(?P<literal>.)",
    re.DOTALL,
)
CASES = {"i": "iIİı", "k": "kK\u212a", "s": "sSſ"}  # the letters with more than two forms
TIMES = {"?": (0, 1), "*": (0, None), "+": (1, None)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    rule: int
    end: int  # where the token ends; what a rule requires behind it is not part of it


class _State(dict[str, "_State | None"]):
    """Hold a set of positions in the patterns; as a dictionary, where each character leads (None: nowhere)."""

    __slots__ = ("accepts", "machine", "positions")

    def __init__(self, machine: Automaton, positions: frozenset[int]) -> None:
        self.machine = machine
        self.positions = positions
        self.accepts = min((machine.ends[position] for position in positions if position in machine.ends), default=None)

    def __missing__(self, char: str) -> _State | None:
        edges = self.machine.edges
        reached = [edges[position] for position in self.positions if position in edges]
        self[char] = self.machine.state(target for test, target in reached if test(char))
        return self[char]


class Automaton:
    """Match patterns in parallel; `longest` returns how far the text matches any of them."""

    def __init__(self, patterns: Sequence[Node]) -> None:
        self.edges: dict[int, tuple[Test, int]] = {}
        self.free: dict[int, list[int]] = {}
        self.ends: dict[int, int] = {}
        self._states: dict[frozenset[int], _State] = {}
        self._positions = 0
        starts = []
        for number, pattern in enumerate(patterns):
            end = self._add_position()
            self.ends[end] = number
            starts.append(self._wire(pattern, end))
        start = self.state(starts)
        assert start is not None
        self.start = start

    def _add_position(self, *free: int) -> int:
        self._positions += 1
        self.free[self._positions] = list(free)
        return self._positions

    def _wire(self, node: Node, target: int) -> int:
        """Return the position from which matching `node` leads to `target`."""
        match node:
            case ("set", test):
                position = self._add_position()
                self.edges[position] = (test, target)
                return position
            case ("all", nodes):
                for part in reversed(nodes):
                    target = self._wire(part, target)
                return target
            case ("any", nodes):
                return self._add_position(*[self._wire(part, target) for part in nodes])
        _, body, low, high = node
        if high is None:
            loop = self._add_position(target)
            self.free[loop].append(self._wire(body, loop))
            target = loop
        for _ in range((high or low) - low):
            target = self._add_position(target, self._wire(body, target))
        for _ in range(low):
            target = self._wire(body, target)
        return target

    def state(self, positions: Any) -> _State | None:
        seen: set[int] = set()
        waiting = list(positions)
        while waiting:
            position = waiting.pop()
            if position not in seen:
                seen.add(position)
                waiting += self.free[position]
        if not seen:
            return None
        key = frozenset(position for position in seen if position in self.edges or position in self.ends)
        if key not in self._states:
            self._states[key] = _State(self, key)
        return self._states[key]

    def longest(self, text: str, begin: int) -> Match | None:
        state, found = self.start, None
        for position in range(begin, len(text)):
            following = state[text[position]]
            if following is None:
                break
            state = following
            if state.accepts is not None:
                found = (state.accepts, position + 1)
        return Match(rule=found[0], end=found[1]) if found else None

    def ends_in(self, text: str, begin: int, end: int) -> list[int]:
        """List every index up to `end` at which a match of text from `begin` may stop."""
        state, stops = self.start, []
        for position in range(begin, end):
            if state.accepts is not None:
                stops.append(position)
            following = state[text[position]]
            if following is None:
                return stops
            state = following
        return [*stops, end] if state.accepts is not None else stops


class Lexer:
    """Match rules, each (what the token is, what must stand behind it, or "")."""

    def __init__(self, rules: Sequence[tuple[str, str]], names: Mapping[str, str | Test]) -> None:
        parsed = [(parse(token, names), parse(behind, names) if behind else None) for token, behind in rules]
        self._complete = Automaton([("all", [token, behind]) if behind else token for token, behind in parsed])
        self._halves = {
            number: (Automaton([token]), Automaton([behind])) for number, (token, behind) in enumerate(parsed) if behind
        }

    def match(self, text: str, begin: int) -> Match | None:
        """Return the rule that takes the most text, counting what stands behind the token; and the token's end."""
        found = self._complete.longest(text, begin)
        if found is None or found.rule not in self._halves:
            return found
        token, behind = self._halves[found.rule]
        stops = token.ends_in(text, begin, found.end)
        end = next(stop for stop in reversed(stops) if found.end in behind.ends_in(text, stop, found.end))
        return Match(rule=found.rule, end=end)


def parse(pattern: str, names: Mapping[str, str | Test]) -> Node:
    """Parse a pattern into a tree. `names` may use one another, but not themselves."""
    stack: list[list[list[Node]]] = [[[]]]  # open groups, each a list of alternatives, each a list of nodes
    for piece in PIECE.finditer(pattern):
        kind, text = piece.lastgroup, piece[piece.lastgroup or 0]
        row = stack[-1][-1]
        if kind == "times":
            low, high = TIMES[text] if text in TIMES else map(int, text[1:-1].split(","))
            row.append(("repeat", row.pop(), low, high))
        elif text == "(" and kind == "mark":
            stack.append([[]])
        elif text == ")" and kind == "mark":
            group = stack.pop()
            stack[-1][-1].append(_either(group))
        elif kind == "mark":
            stack[-1].append([])
        elif kind == "name":
            meaning = names[text]
            row.append(parse(meaning, names) if isinstance(meaning, str) else ("set", meaning))
        elif kind == "members":
            row.append(("set", parse_set(text, negated=bool(piece["negated"]))))
        else:
            row.append(("set", CASES.get(text.lower(), text.lower() + text.upper()).__contains__))
    return _either(stack.pop())


def _either(alternatives: list[list[Node]]) -> Node:
    return ("any", [("all", row) for row in alternatives]) if len(alternatives) > 1 else ("all", alternatives[0])


def parse_set(text: str, *, negated: bool = False) -> Test:
    """Return the test of a bracketed set; characters are listed or given as ranges."""
    listed: set[str] = set()
    ranges: list[tuple[str, str]] = []
    for low, high in re.findall(r"(\\.|[^\\])(?:-(\\.|[^\\]))?", text, re.DOTALL):
        if high:
            ranges.append((low[-1], high[-1]))
        else:
            listed.add(low[-1])
    return lambda char: (char in listed or any(low <= char <= high for low, high in ranges)) != negated
