"""Run `pseudocap VERB ...`: find the verb's module, hand it the arguments, turn a user's mistake into one line.

A verb's module has `add_arguments(parser)`, which declares without importing anything heavy, `run(args) -> int`, and
perhaps EPILOG, which its help prints before the example.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import re
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from pseudocap.errors import Interrupted, PseudocapError, nearest
from pseudocap.version import __version__

# verb -> (what it does, an example). The module is pseudocap/cli/<verb>.py.
VERBS = {
    "caption": (
        "caption videos and images, as a whole or clip by clip, as text, JSON lines or subtitles",
        "pseudocap caption film.mp4 --checkpoint runs/mine/best\n"
        "  pseudocap caption films/ --checkpoint runs/mine/best --format srt --out subtitles/",
    ),
    "ask": (
        "answer questions about videos and images",
        'pseudocap ask film.mp4 "what is the man doing?" --checkpoint runs/answers/best',
    ),
    "demo": (
        "caption pictures, videos and a synthetic film; write a page of what each word attended to",
        "pseudocap demo\n  pseudocap demo film.mp4 --out film.html\n  pseudocap demo --from-nothing",
    ),
    "convert": (
        "convert another repository's weights into our format",
        "pseudocap convert timesformer TimeSformer_divST_8x32_224_HowTo100M.pyth encoders/timesformer-8",
    ),
    "score": (
        "score captions: CIDEr-D, BLEU, ROUGE-L, METEOR, with intervals and examples",
        "pseudocap score predictions.json references.json --by category --bootstrap 1000",
    ),
    "data": (
        "check a dataset: what its files hold, which videos are present and can be decoded; count sounds in captions",
        "pseudocap data verify msrvtt --annotations annotations/ --videos videos/ --json\n"
        "  pseudocap data density msvd --annotations msvd/",
    ),
    "label": (
        "caption every clip of your videos by an image captioner, for training",
        "pseudocap label films/ --teacher Salesforce/blip-image-captioning-large --out labels/",
    ),
    "mine": (
        "carry captions from pictures to the clips of your videos that look alike",
        "pseudocap mine films/ --seeds photos/ --encoder real-photos --out labels/",
    ),
    "transcribe": (
        "transcribe the speech of your videos, for the ASR baseline and the audit",
        "pseudocap transcribe films/ --model base --out caption.json",
    ),
    "filter": (
        "mark labelled clips that look like an earlier one, within and across videos",
        "pseudocap filter labels/ --memories memories/ --out filtered/",
    ),
    "translate": (
        "translate labels or captions into other languages, for training in them",
        "pseudocap translate labels/ --to es --translator apertium --out translated/\n"
        "  pseudocap translate captions.jsonl --to de --translator facebook/nllb-200-distilled-600M --out DIR/",
    ),
    "pack": (
        "cut the labelled clips into WebDataset tars for training",
        "pseudocap pack labels/ --out shards/ --shard-size 1000",
    ),
    "audit": (
        "rate labels and transcripts on a local page, blind; --report prints shares with intervals",
        "pseudocap audit labels/ --asr caption.json --n 100",
    ),
    "learn": (
        "train on videos without captions: label, encode, train and report in one command that resumes",
        "pseudocap learn films/ --out runs/mine --dry-run",
    ),
    "browse": (
        "review labels or captions on a local page: search, edit, accept, reject; --export writes the result",
        "pseudocap browse labels/\n  pseudocap browse labels/ --export checked.jsonl",
    ),
    "train": (
        "train a captioner by one of the five regimes, or on CIDEr-D itself",
        "pseudocap train mixed --config paper --data.images laion/ --data.videos pseudolabels/ --out runs/mixed",
    ),
    "finetune": (
        "train a captioner further on your own captions",
        "pseudocap finetune --from runs/mixed/last --data captions.jsonl --videos videos/ --out runs/mine",
    ),
    "encode": (
        "store the features of the frozen encoder, so that training decodes no video",
        "pseudocap encode captions.jsonl --encoder encoders/timesformer-8 --out memories/ --crops 4",
    ),
    "index": (
        "index a folder of videos, so that its moments are found by text; again, only what is new or changed",
        "pseudocap index films/ --out index/",
    ),
    "search": (
        "find the moment in your own videos by text, or by what looks alike",
        'pseudocap search "a dog runs on a beach" --index index/ --out hits.html',
    ),
    "toyworld": (
        "write a synthetic dataset in the formats of real ones, or draw one of its films",
        "pseudocap toyworld write world --scale tiny\n  pseudocap toyworld show 7 --out pictures",
    ),
    "zoo": (
        "list, show, verify and build named weights: the shipped ones and your own",
        "pseudocap zoo list --json\n  pseudocap zoo show toy-mixed-ext --gates",
    ),
    "bench": (
        "compare regimes, ablations, captioners and retrievers; measure speed and near-duplicates",
        "pseudocap bench regimes --data toy --seeds 3",
    ),
    "push": (
        "publish a captioner: adapters, config, scores and a model card, in one commit",
        "pseudocap push runs/mine/best OWNER/REPO --private --dry-run",
    ),
    "pull": (
        "download a captioner into a folder, by its name, repository or address",
        "pseudocap pull OWNER/REPO@v1 --to captioners/mine",
    ),
    "app": (
        "serve a web page on this machine: upload a video; read, compare and correct captions",
        "pseudocap app --checkpoint runs/mine/best",
    ),
    "serve": (
        "caption over HTTP: one captioner that stays in memory, for many clients",
        "pseudocap serve --port 8000",
    ),
    "doctor": ("check this machine: what works, and what each missing part is needed for", "pseudocap doctor --json"),
}


GO_ON = "to go on: "  # how the line begins that has the command
DESTINATIONS = ("out", "preview", "to", "videocc")  # the options that name where something is written
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EEXIST, errno.ENOENT)


class OneLineParser(argparse.ArgumentParser):
    """Parse as argparse does, but report a mistake in one `error:` line, and complete no word by guessing."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)  # type: ignore[arg-type]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        offer = ""
        if message.startswith("the following arguments are required:"):
            # Perhaps they are there and misspelt: argparse would report that only once nothing is missing.
            options = (word.partition("=")[0] for word in self._given if word.startswith("--") and len(word) > 2)
            unknown = [option for option in options if option not in self._option_string_actions]
            near = {option: nearest(option, self._option_string_actions) for option in unknown}
            offer = "".join(f"; there is no {option}{hint}" for option, hint in near.items() if hint)
        elif wrong := re.match(r"unrecognized arguments: (--[\w-]+)", message):
            if (action := self._action_given()) is not None:  # argparse leaves its unknown options to this parser
                action.error(message)
            offer = nearest(wrong[1], self._option_string_actions)
        elif wrong := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            offer = nearest(wrong[1], re.findall(r"[\w.-]+", wrong[2]))
        self.exit(2, f"error: {message}{offer}; see {self.prog} --help\n")

    def _action_given(self) -> argparse.ArgumentParser | None:
        """Return the parser of the action that was given, of a verb that has several."""
        actions = next((each.choices for each in self._actions if isinstance(each.choices, dict)), {})
        return next((actions[word] for word in self._given if word in actions), None)


def root_parser() -> OneLineParser:
    """Build the parser of everything before the verb; a verb's own is made when its module is imported."""
    lines = "\n".join(f"  {verb:<11}{summary}" for verb, (summary, _) in VERBS.items())
    parser = OneLineParser(
        prog="pseudocap",
        description="Caption video, and train video captioners without human-written video captions.",
        epilog=f"verbs:\n{lines}\n\npseudocap VERB --help shows the options of a verb and an example.",
    )
    parser.add_argument("--version", action="version", version=f"pseudocap {__version__}")
    parser.add_argument("verb", metavar="VERB")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        root_parser().print_help(sys.stderr)
        return 2
    if arguments[0] not in VERBS:
        root = root_parser()
        verb = root.parse_args(arguments[:1]).verb
        root.error(f"there is no verb {verb!r}{nearest(verb, VERBS)}")
    verb, *rest = arguments
    summary, example = VERBS[verb]
    options = argparse.Namespace()
    try:
        module = importlib.import_module(f"pseudocap.cli.{verb}")
        epilog = "\n\n".join(filter(None, (getattr(module, "EPILOG", ""), f"example:\n  {example}")))
        parser = OneLineParser(prog=f"pseudocap {verb}", description=summary, epilog=epilog)
        module.add_arguments(parser)
        options = parser.parse_args(rest)
        code = module.run(options)
        sys.stdout.flush()
        return code
    except PseudocapError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"error: {_of_the_system(error, options)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"\n{str(stop) or 'stopped'}", file=sys.stderr)
        if isinstance(stop, Interrupted) and stop.resumable:
            words = (verb, *(word for word in rest if word != "--resume"), "--resume")
            print(f"{GO_ON}pseudocap {shlex.join(words)}", file=sys.stderr)
        return 128 + (stop.signal if isinstance(stop, Interrupted) else signal.SIGINT)


def _of_the_system(error: OSError, options: argparse.Namespace) -> str:
    """Return what the system refused; where it was a path to write to, with the option that named it."""
    where = f"{error.filename or 'the system'}: {error.strerror or error}"
    for name in DESTINATIONS if error.errno in REFUSED else ():
        given = getattr(options, name, None)
        if given is None or not isinstance(error.filename, str) or "://" in str(given):
            continue
        target, refused = Path(given).absolute(), Path(error.filename).absolute()
        scratch = refused.parent == target.parent and refused.name.startswith(f".{target.name}.")
        if scratch or refused.is_relative_to(target) or target.is_relative_to(refused):
            return f"--{name} {given} cannot be written ({where}); name a path where you may write and that has room"
    return where


def entry() -> NoReturn:
    sys.exit(main())


if __name__ == "__main__":
    entry()
