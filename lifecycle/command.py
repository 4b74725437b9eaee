"""Publish models to S3, look at them, check them, bring them from stage to stage, and go back.

PLACE is s3://bucket/prefix, or a stage's name (models/<stage>/ in the bucket that MODEL_BUCKET names); without one,
MODEL_BUCKET and MODEL_PREFIX say where. Exit codes: 0 done; 1 the model was refused or a check failed; 2 wrong usage;
3 S3 doesn't allow it; 4 somebody else published meanwhile; 70 a fault of ours; 130 interrupted, which leaves the served
model as it was.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from classifier.errors import ClassifierError, ImageError
from classifier.printable import printable
from classifier.s3.storage import ObjectChangedError, ObjectMissingError, ObjectTooLargeError, ObjectUnreadableError
from lifecycle.console import Console
from lifecycle.errors import ModelsError, PlaceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = {
    "publish": "make a model the served one, after checking it",
    "list": "the versions that were published",
    "show": "everything about one version",
    "diff": "what changed between two versions",
    "verify": "load what S3 holds as the function would, and check it",
    "promote": "make one stage's model another's",
    "canary": "look after a model that only a share of the callers gets: compare, raise, promote, abort",
    "rollback": "go back to a version that was published before",
    "prune": "delete old versions that nothing serves and nobody goes back to",
    "classify-all": "classify every picture under a prefix, each exactly once",
    "captured": "what a service kept of its traffic, as folders of pictures ready to train; or delete one",
    "drift": "whether what a service is sent is still what its model was published for",
    "export": "the published model as .keras, SavedModel or .tflite",
}
INTERRUPTED = 130
OWN_FAULT = 70


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code is the module's docstring's."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = _parser().parse_args(argv)
    console = Console(options.json)
    try:
        code: int = _module(options.verb).run(options, console)
    except KeyboardInterrupt:
        return _failed("interrupted; what is served is as it was, unless a line above says otherwise", INTERRUPTED)
    except ModelsError as error:
        return _failed(str(error), error.exit_code)
    except (ObjectChangedError, ObjectMissingError, ObjectTooLargeError, ObjectUnreadableError) as error:
        return _failed(f"S3 doesn't give what it has just listed: {error}", PlaceError.exit_code)
    except ImageError as error:
        return _failed(f"a picture that was given can't be read: {error.public}", UsageError.exit_code)
    except ClassifierError as error:
        return _failed(f"{error.code}: {error}", ModelsError.exit_code if error.status == 500 else PlaceError.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(f"{where}{error.strerror or error}", UsageError.exit_code)
    except Exception as error:
        if os.environ.get("LOG_LEVEL", "").lower() == "debug":
            raise
        what = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        return _failed(f"this is a fault of ours, please report it: {what} (LOG_LEVEL=debug shows where)", OWN_FAULT)
    return code


def _failed(text: str, code: int) -> int:
    print(f"models: {printable(text)}", file=sys.stderr)
    return code


def _module(verb: str) -> Any:  # noqa: ANN401 - one of our own
    return importlib.import_module(f"lifecycle.{verb.replace('-', '_')}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, summary in VERBS.items():
        module = _module(name)
        verb = verbs.add_parser(
            name, help=summary, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(verb)
        verb.add_argument("--json", action="store_true", help="the result as one JSON object on stdout")
    return parser
