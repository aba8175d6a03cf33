"""Draw small mistakes at random, and list those that no fast test notices.

    make mutants N=30 SEED=1 PATHS=pseudocap/regimes

Each mistake (a mutant) is the kind of slip that people make: another comparison or operator, a constant beside the
right one, a call, a return or an argument left out, two arguments swapped. It is made in a copy of the working tree,
and the tests that mirror its file are run, then those of the same folder and those that import the file. What survives
is either equivalent (nobody could tell) or shows where a test is missing. Exits with 0 whatever survives.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
SYMBOLS = {
    **{ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">")},
    **{ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is")},
    **{ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"), ast.And: ("and", "or"), ast.Or: ("or", "and")},
    **{ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.Mod: ("%", "*")},
    **{ast.FloorDiv: ("//", "*"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&")},
}
OPPOSITES = {"min": "max", "max": "min", "any": "all", "all": "any", "amin": "amax", "amax": "amin"}
UNSEEN = (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)  # messages, and what type checkers read
RAN_PAST = "took too long: not counted"  # caught by a loop without end, or the machine is busy
UNREAD = ("annotation", "returns", "decorator_list", "type_params", "bases")
NEWLINE = b"\n"
Span = tuple[int, int]
Edit = tuple[Span, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutant:
    """Hold a file of the package with one mistake: the bytes from start to end are replaced."""

    path: str
    source: bytes
    start: int
    end: int
    text: str

    @property
    def mistaken(self) -> bytes:
        return self.source[: self.start] + self.text.encode() + self.source[self.end :]

    def __str__(self) -> str:
        return f"{self.path}:{self.source.count(NEWLINE, 0, self.start) + 1}"


def main() -> None:
    arguments = _arguments()
    mutants = draw(arguments.paths, arguments.number, arguments.seed)
    survived, counted, began = 0, 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        trees: SimpleQueue[Path] = SimpleQueue()
        for job in range(arguments.jobs):
            trees.put(copy_tree(Path(scratch) / str(job)))

        def judged(mutant: Mutant) -> str | None:
            tree = trees.get()
            try:
                return judge(tree, mutant, timeout=arguments.timeout)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(arguments.jobs) as pool:
            for number, (mutant, caught) in enumerate(zip(mutants, pool.map(judged, mutants), strict=True), 1):
                survived, counted = survived + (caught is None), counted + (caught != RAN_PAST)
                report(f"{number}/{len(mutants)} {mutant} {'SURVIVED' if caught is None else caught}")
                if caught is None:
                    report(difference(mutant))
    share = 100 * (counted - survived) / max(counted, 1)
    report(f"{counted - survived} of {counted} caught ({share:.0f} %) in {time.monotonic() - began:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=30, help="how many mistakes are drawn")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--jobs", type=int, default=1, help="how many are tried at a time")
    parser.add_argument(
        "--timeout", type=float, default=300, help="seconds of a run; one that takes longer is not counted"
    )
    parser.add_argument("paths", nargs="*", default=["pseudocap"], help="files and folders of the package")
    return parser.parse_args()


def draw(paths: list[str], number: int, seed: int) -> list[Mutant]:
    """Draw lines of these files and folders, and a mutant of each; fewer where there are fewer."""
    files = sorted(name for name in working_files(paths) if name.startswith("pseudocap/") and name.endswith(".py"))
    if not files:
        sys.exit(f"error: no file of pseudocap/ is under {', '.join(paths)}")
    lines: dict[str, list[Mutant]] = {}
    for name in files:
        for mutant in mutants_of(name, (ROOT / name).read_bytes()):
            lines.setdefault(str(mutant), []).append(mutant)
    drawing = random.Random(seed)
    return [drawing.choice(lines[line]) for line in drawing.sample(list(lines), min(number, len(lines)))]


def working_files(paths: Iterable[str] = ()) -> list[str]:
    """List the files of the working tree that Git does not ignore, under these paths if any are given."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths]
    return subprocess.check_output(command, cwd=ROOT, text=True).rstrip("\0").split("\0")


class Text:
    """The text of a file, by the nodes of its syntax tree."""

    def __init__(self, source: bytes) -> None:
        self.source, self._lines = source, [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def span(self, node: ast.expr | ast.stmt | ast.keyword) -> Span:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        first, last = self._lines[node.lineno - 1], self._lines[node.end_lineno - 1]
        return first + node.col_offset, last + node.end_col_offset

    def of(self, node: ast.expr | ast.stmt) -> str:
        start, end = self.span(node)
        return self.source[start:end].decode()

    def between(self, left: ast.expr, right: ast.expr, operator: ast.AST) -> Iterator[Edit]:
        """Yield another operator between two operands, where the table knows one."""
        old, new = SYMBOLS.get(type(operator), ("", ""))
        start, end = self.span(left)[1], self.span(right)[0]
        found = re.search(rf"(?<![\w*/<>=!]){re.escape(old)}(?![\w*/=])", self.source[start:end].decode())
        if old and found:
            yield (start + found.start(), start + found.end()), new


def mutants_of(path: str, source: bytes) -> Iterator[Mutant]:
    """Yield all mutants of a file, in the order of its text."""
    text = Text(source)

    def visit(node: ast.AST) -> Iterator[Edit]:
        if isinstance(node, UNSEEN) or _only_logs(node):
            return
        for kind in (_operators, _values, _statements, _calls):
            yield from kind(text, node)
        for name, value in ast.iter_fields(node):
            if name not in UNREAD:
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        yield from visit(child)

    for (start, end), new in visit(ast.parse(source)):
        if source[start:end].decode() != new:
            yield Mutant(path=path, source=source, start=start, end=end, text=new)


def _operators(text: Text, node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.Compare(left=left, ops=operators, comparators=rights):
            for one, operator, other in zip([left, *rights], operators, rights, strict=False):
                yield from text.between(one, other, operator)
        case ast.BinOp(left=left, op=operator, right=right):
            yield from text.between(left, right, operator)
        case ast.BoolOp(op=operator, values=values):
            yield from text.between(values[0], values[1], operator)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield text.span(node), f"({text.of(operand)})"


def _values(text: Text, node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.Constant(value=bool() as value):
            yield text.span(node), str(not value)
        case ast.Constant(value=int() as value):
            yield text.span(node), str(value + 1 if value < 10 else value // 2)
        case ast.Constant(value=float() as value):
            yield text.span(node), repr(value * 2 if value else 1.0)
        case ast.IfExp(body=body, test=test, orelse=orelse):
            yield text.span(node), f"({text.of(orelse)} if {text.of(test)} else {text.of(body)})"


def _statements(text: Text, node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.If(test=test):
            yield text.span(test), f"not ({text.of(test)})"
        case ast.Expr(value=ast.Call()):
            yield text.span(node), "pass"
        case ast.Return(value=ast.expr()):
            yield text.span(node), "return None"
        case ast.AugAssign(target=target, value=value):
            yield text.span(node), f"{text.of(target)} = {text.of(value)}"
        case ast.Break():
            yield text.span(node), "continue"
        case ast.Continue():
            yield text.span(node), "break"


def _calls(text: Text, node: ast.AST) -> Iterator[Edit]:
    """Yield a call of the opposite, and a call with two arguments swapped or one that has a name left out."""
    if not isinstance(node, ast.Call):
        return
    name = {ast.Name: "id", ast.Attribute: "attr"}.get(type(node.func))
    if name and (opposite := OPPOSITES.get(called := getattr(node.func, name))):
        end = text.span(node.func)[1]
        yield (end - len(called), end), opposite
    first = node.args[:2]
    if len(first) == 2 and not any(isinstance(each, ast.Starred) for each in first):
        (start, stop), (begin, end) = map(text.span, first)
        yield (start, end), text.of(first[1]) + text.source[stop:begin].decode() + text.of(first[0])
    for each in node.keywords:
        if each.arg == "strict":  # of zip, which where all is well does nothing
            continue
        start, end = text.span(each)
        if comma := re.match(rb"\s*,", text.source[end:]):
            yield (start, end + comma.end()), ""
        elif comma := re.search(rb",\s*$", text.source[:start]):
            yield (comma.start(), end), ""


def _only_logs(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith(("_log.", "print(", "logging.", "warnings."))


def copy_tree(tree: Path) -> Path:
    """Copy the working tree as it is, without what Git ignores, with the shared data beside it where they are."""
    target = tree / "main"
    for name in working_files():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    if (ROOT.parent / "shared").is_dir():
        (tree / "shared").symlink_to(ROOT.parent / "shared")
    return target


def tests_of(tree: Path, path: str) -> list[str]:
    """Return the test files that should notice a mistake in a file: its own first, then its neighbours'."""
    module = Path(path).with_suffix("")
    folder = tree / "tests" / module.relative_to("pseudocap").parent
    own = sorted(folder.glob(f"test_{module.name}*.py"))
    siblings = [] if folder == tree / "tests" else sorted(folder.glob("test_*.py"))
    dotted = ".".join(module.parts)
    named = re.compile(rf"{re.escape(dotted)}\b|from {re.escape(dotted.rpartition('.')[0])} import .*\b{module.name}\b")
    users = [each for each in sorted((tree / "tests").rglob("test_*.py")) if named.search(each.read_text())]
    return [str(each.relative_to(tree)) for each in dict.fromkeys([*own, *siblings, *users])]


def judge(tree: Path, mutant: Mutant, *, timeout: float) -> str | None:
    """Return what noticed the mutant; None where nothing did."""
    target = tree / mutant.path
    compiled = target.parent / "__pycache__"
    try:
        target.write_bytes(mutant.mistaken)
        shutil.rmtree(compiled, ignore_errors=True)  # a mutant of the same second and size would pass for the original
        return run_tests(tree, tests_of(tree, mutant.path), timeout=timeout)
    finally:
        target.write_bytes(mutant.source)
        shutil.rmtree(compiled, ignore_errors=True)


def run_tests(tree: Path, tests: list[str], *, timeout: float) -> str | None:
    """Run the fast tests of these files until one fails, and return its name; None where all pass."""
    if not tests:
        return None
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", "--tb=no"]
    command += [f"--basetemp={tree.parent / 't'}", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=tree, env=environment, start_new_session=True, **pipes) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return RAN_PAST
    if process.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    return failed[1] if failed else f"exit {process.returncode}"


def difference(mutant: Mutant) -> str:
    """Return the changed lines, as a diff has them."""
    before, after = (each.decode().splitlines() for each in (mutant.source, mutant.mistaken))
    lines = list(difflib.unified_diff(before, after, lineterm="", n=1))[3:]
    return "\n".join(f"    {line}" for line in lines)


def report(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
