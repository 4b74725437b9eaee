"""Classify every picture under a prefix, each exactly once: `classify-all s3://pictures/2026 --to s3://results/2026`.

Run it again after whatever stopped it, on this machine or another, or on several at once: finished parts are kept, and
the file of results appears when all are there. A picture that can't be classified has its error's code in its row.
Pictures are classified here, by the model that serves at --model, or by the deployed API at --endpoint.
"""

from __future__ import annotations

import argparse
import os
import random
from typing import TYPE_CHECKING, Any

from lifecycle.bulk import results
from lifecycle.bulk.crew import Crew
from lifecycle.bulk.folder import Destination, find_destination
from lifecycle.bulk.formats import check_format
from lifecycle.bulk.listing import list_pictures
from lifecycle.bulk.plan import Plan, begin, read_plan
from lifecycle.bulk.progress import Progress
from lifecycle.console import Console, megabytes
from lifecycle.errors import ConflictError, UsageError
from lifecycle.place import Place, find_place

if TYPE_CHECKING:
    from lifecycle.bulk.results import Done

PART_SIZE = 100
API_CONCURRENCY = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", metavar="PICTURES", help="s3://bucket/prefix")
    parser.add_argument("--to", required=True, metavar="RESULTS", help="s3://... or local: a folder, or a file's name")
    parser.add_argument("--model", metavar="PLACE", help="s3://bucket/prefix or a stage; by default MODEL_BUCKET's")
    parser.add_argument("--endpoint", metavar="URL", help="the deployed API, instead of classifying here")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="sent to the API with each")
    parser.add_argument(
        "--format", choices=("jsonl", "csv", "parquet"), help="by default what RESULTS ends in, or jsonl"
    )
    parser.add_argument("--concurrency", type=_count, metavar="N", help="processes; requests at once to an API")
    parser.add_argument(
        "--top", type=_count, metavar="N", help="most predictions a picture; by default the model's own"
    )
    parser.add_argument("--part-size", type=_count, default=PART_SIZE, metavar="N", help="pictures kept at a time")
    parser.add_argument("--again", action="store_true", help="classify everything anew and replace the results")
    parser.add_argument("--dry-run", action="store_true", help="say what it would do")


def run(options: argparse.Namespace, console: Console) -> int:
    """Classify what is not classified yet, then join."""
    source, model = _source(options.pictures), _model(options)
    destination = find_destination(options.to, options.format, source.client)
    check_format(destination.format)
    plan, done = read_plan(destination), results.read_done(destination)
    if done is not None and plan is not None and done.run != plan.run:
        done = None  # of the run before
    if options.again:
        plan = done = None
    elif plan is not None and options.top not in (None, plan.top):
        raise UsageError(f"{destination.url} was begun without --top {options.top}; --again begins anew")
    elif known := plan or done:
        _check_same_work(known, source.url, model, destination)
    if options.dry_run:
        return _foretell(source, destination, plan, done, console)
    if done is not None:
        return _finished_before(source, destination, done, console)
    if plan is None and not options.again and destination.folder.token(destination.name) is not None:
        raise UsageError(f"{destination.url} is there already, and not by this verb; --again replaces it")
    return _classify(options, source, model, destination, plan, console)


def _classify(
    options: argparse.Namespace,
    source: Place,
    model: str,
    destination: Destination,
    plan: Plan | None,
    console: Console,
) -> int:
    keys = plan.keys if plan else list_pictures(source, destination).keys
    console.progress(f"{len(keys):,} pictures under {source.url}; opening the model")
    job = _job(options, source, model, destination, plan)
    with Crew(job, 1 if options.endpoint else job["concurrency"]) as crew:
        opened = crew.open()
        if plan is None:
            how = {"source": source.url, "model": model, "version": opened["version"], "top": options.top}
            plan = begin(destination, **how, part_size=options.part_size, keys=keys, again=options.again)
            _check_same_work(plan, source.url, model, destination)
            if plan.version != opened["version"]:
                raise ConflictError("another machine began with another version of the model; run it again to join it")
        there = results.finished_parts(destination, plan)
        before = sum(len(plan.keys_of(part)) for part in there)
        if there:
            console.progress(f"{before:,} were classified before")
        progress = Progress(console, len(plan.keys), before)
        done = _work(crew, plan, destination, there, progress)
    rate = round(progress.per_second, 1)
    console.result(*_told(done, destination, before=before, rate=rate))
    return 0


def _work(crew: Crew, plan: Plan, destination: Destination, there: set[int], progress: Progress) -> Done:
    """Until every part is there and joined, whoever wrote it."""

    def count(part: int) -> None:
        progress.advance(len(plan.keys_of(part)))

    while True:
        missing = [part for part in plan.parts if part not in there]
        # Somebody else may be at it, from the beginning of what is left: begin elsewhere.
        start = random.randrange(len(missing)) if there and missing else 0  # noqa: S311 - guards nothing
        crew.work(
            plan,
            destination.work,
            missing[start:] + missing[:start],
            count,
            lambda: results.finished_parts(destination, plan),
        )
        try:
            return results.join(destination, plan)
        except results.PartMissingError:
            done = results.read_done(destination)
            if done is not None and done.run == plan.run:
                results.clear(destination, done)
                return done
            there = results.finished_parts(destination, plan)


def _source(text: str) -> Place:
    if not text.startswith("s3://"):
        raise UsageError(f"{text!r}: give the pictures as s3://bucket/prefix")
    return find_place(text)


def _model(options: argparse.Namespace) -> str:
    """What the plan calls the model's place."""
    if options.endpoint is None:
        return find_place(options.model).url
    if options.model is not None:
        raise UsageError("--model is for classifying here, --endpoint has its own")
    endpoint: str = options.endpoint
    if not endpoint.startswith(("https://", "http://")):
        raise UsageError(f"{endpoint!r} is no URL")
    return endpoint.rstrip("/")


def _job(
    options: argparse.Namespace, source: Place, model: str, destination: Destination, plan: Plan | None
) -> dict[str, Any]:
    """What workers are told."""
    headers = dict(text.partition(":")[::2] for text in options.header)
    return {
        "model": model,
        "version": plan.version if plan else None,
        "endpoint": options.endpoint,
        "headers": {name.strip(): value.strip() for name, value in headers.items()},
        "bucket": source.bucket,
        "folder": destination.folder.url,
        "top": plan.top if plan else options.top,
        "concurrency": options.concurrency or (API_CONCURRENCY if options.endpoint else os.process_cpu_count() or 1),
    }


def _check_same_work(known: Plan | Done, source: str, model: str, destination: Destination) -> None:
    for what, then, now in (("pictures", known.source, source), ("model", known.model, model)):
        if then != now:
            text = f"{destination.url} is the result for the {what} of {then}, not {now}: give another --to, or --again"
            raise UsageError(text)


def _finished_before(source: Place, destination: Destination, done: Done, console: Console) -> int:
    results.clear(destination, done)
    now = len(list_pictures(source, destination).keys)
    if now != done.pictures:
        console.warn(f"there are {now:,} pictures now, {done.pictures:,} when this began; --again classifies them all")
    console.result(*_told(done, destination, before=done.pictures, rate=0.0))
    return 0


def _foretell(source: Place, destination: Destination, plan: Plan | None, done: Done | None, console: Console) -> int:
    listed = list_pictures(source, destination)
    total = len(plan.keys) if plan else len(listed.keys)
    finished = results.finished_parts(destination, plan) if plan else set()
    there = total if done else sum(len(plan.keys_of(part)) for part in finished) if plan else 0
    document = {
        "source": source.url,
        "results": destination.url,
        "format": destination.format,
        "pictures": total,
        "bytes": listed.size,
        "classified_before": there,
        "changed": False,
        "dry_run": True,
        "undo": None,
    }
    line = f"Would classify {total - there:,} of {total:,} pictures ({megabytes(listed.size)} under {source.url})"
    console.result(document, [line, f"Results  {destination.url}"])
    return 0


def _told(done: Done, destination: Destination, *, before: int, rate: float) -> tuple[dict[str, Any], list[str]]:
    undo = results.undo(destination)
    document = {
        **results.as_document(done),
        "results": destination.url,
        "format": destination.format,
        "classified_before": before,
        "per_second": rate,
        "changed": before < done.pictures,
        "dry_run": False,
        "undo": undo,
    }
    refused = sum(done.errors.values())
    lines = [
        f"Pictures {done.pictures:,}, {done.pictures - refused:,} classified, {refused:,} refused",
        *(f"         {count:,} {code}" for code, count in done.errors.items()),
        f"Model    {', '.join(done.versions) or 'none was asked'}",
        f"Results  {destination.url}",
        f"Undo     {undo}",
    ]
    return document, lines


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1")
    return number
