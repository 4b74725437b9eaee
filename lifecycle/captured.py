"""Bring home what a service kept: `captured s3://IMAGE-BUCKET --to DIR` writes a folder for each label, ready to train.

A picture lies in the folder of the label that somebody gave it, else of the predicted one; captures.csv says which it
was, and everything else that is known. What people called "none of these" is no class: it goes to a folder beside DIR,
DIR-none-of-these. `--delete REQUEST_ID` removes one request's pictures for good instead, versions and feedback too.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.captures.feedback import NONE_OF_THESE, REQUEST_ID, SUFFIX
from lifecycle.errors import PlaceError, UsageError
from lifecycle.place import Place, s3_trouble
from lifecycle.traffic.kept import find_captures, list_kept, read_kept, since

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from lifecycle.console import Console
    from lifecycle.traffic.kept import Kept

TABLE = "captures.csv"
READABLE = {"JPEG": ".jpg", "PNG": ".png", "GIF": ".gif", "BMP": ".bmp"}
"""Formats that keras.utils.image_dataset_from_directory takes; others are written as PNG."""
COLUMNS = (
    *("file", "request_id", "time", "given", "predicted", "score", "sure", "why", "model", "version"),
    *("source", "width", "height"),
)
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|%]|^\.+$')
MOST_NAME_BYTES = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", nargs="?", metavar="PLACE", help="s3://IMAGE-BUCKET; by default IMAGE_BUCKET's")
    parser.add_argument("--to", type=Path, metavar="DIR", help="a new folder")
    parser.add_argument("--only-given", action="store_true", help="leave out what nobody gave a label")
    parser.add_argument("--since", type=since, metavar="DAY", help="leave out what is older, such as 2026-11-29")
    parser.add_argument("--delete", metavar="REQUEST_ID", help="delete what is kept of this request, for good")
    parser.add_argument("--dry-run", action="store_true", help="say what would be deleted or written")


def run(options: argparse.Namespace, console: Console) -> int:
    """Write the folders, or delete one request's pictures."""
    if bool(options.to) == bool(options.delete):
        raise UsageError("give either --to DIR, for the pictures, or --delete REQUEST_ID")
    place = find_captures(options.place)
    if options.delete:
        return _delete(place, options.delete, console, dry_run=options.dry_run)
    folder: Path = options.to
    beside = folder.with_name(f"{folder.name}-{NONE_OF_THESE.replace(' ', '-')}")
    for each in (folder, beside):
        if each.exists() and (not each.is_dir() or any(each.iterdir())):
            raise UsageError(f"{each} is there already and not empty: give a new folder")
    listed = list_kept(place, options.since)
    wanted = [one for one in listed.ids if one in listed.given or not options.only_given]
    if not wanted:
        raise PlaceError(f"nothing is kept at {place.url}" + (" that fits" if listed.ids else ""))
    if options.dry_run:
        counts = {"pictures": len(wanted), "given": len(listed.given & {*wanted}), "dry_run": True}
        console.result(counts, [f"Would write {len(wanted)} pictures, {counts['given']} with a label that was given"])
        return 0
    console.progress(f"reading {len(wanted)} pictures of {place.url}")
    rows = [_write(kept, folder, beside) for kept in read_kept(place, listed, wanted, console)]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    _tell(rows, folder, beside, console)
    return 0


def _tell(rows: list[dict[str, Any]], folder: Path, beside: Path, console: Console) -> None:
    given = [row for row in rows if row["given"]]
    right = sum(row["given"] == row["predicted"] for row in given)
    foreign = sum(row["given"] == NONE_OF_THESE for row in given)
    document = {"folder": str(folder), "pictures": len(rows), "given": len(given), "right": right, "foreign": foreign}
    lines = [f"Wrote    {len(rows)} pictures to {folder}, and {TABLE} there"]
    lines += [f"Given    {len(given)} have a label from somebody, of which {right} are what was predicted"]
    if foreign:
        lines.append(f"Foreign  {foreign} are {NONE_OF_THESE}: they are in {beside}, not among the classes")
    if len(given) < len(rows):
        lines.append(f"Look     {len(rows) - len(given)} lie where the model itself put them: look before you train")
    console.result(document, lines)


def _write(kept: Kept, folder: Path, beside: Path) -> dict[str, Any]:
    label = kept.given or kept.predicted
    image, model = kept.record["image"], kept.record["model"]
    data, suffix = _file(kept.data, str(image.get("format", "")), image.get("orientation", 1))
    into = beside if kept.given == NONE_OF_THESE else folder / folder_name(label)
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{kept.request_id}{suffix}"
    path.write_bytes(data)
    known = {"request_id": kept.request_id, "time": kept.record["time"], "why": kept.record["why"]}
    said = {
        "given": kept.given or "",
        "predicted": kept.predicted,
        "score": kept.score,
        "sure": kept.record.get("sure"),
    }
    about = {"model": model.get("name"), "version": kept.version, "source": image.get("source")}
    size = {name: image.get(name) for name in ("width", "height")}
    shown = path.relative_to(folder) if path.is_relative_to(folder) else Path("..") / path.relative_to(folder.parent)
    return {"file": shown.as_posix(), **known, **said, **about, **size}


def folder_name(label: str) -> str:
    """The label as a folder's name on any system: what can't be in one is written as % and two hexadecimal digits."""
    name = _UNSAFE.sub(lambda found: "".join(f"%{ord(char):02X}" for char in found[0]), label)
    return name.encode()[:MOST_NAME_BYTES].decode(errors="ignore") or "%00"


def _file(data: bytes, image_format: str, orientation: object) -> tuple[bytes, str]:
    """A file that training reads as the service did: Keras knows four formats, and no turned pictures but JPEG's."""
    turned = isinstance(orientation, int) and 1 < orientation <= 8
    if image_format == "JPEG" and data[:2] == b"\xff\xd8" and turned:
        return data[:2] + _exif(int(str(orientation))) + data[2:], ".jpg"
    if image_format in READABLE and not turned:
        return data, READABLE[image_format]
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(data)) as picture:
        picture.getexif()[0x0112] = int(str(orientation)) if turned else 1
        upright = ImageOps.exif_transpose(picture)
        file = io.BytesIO()
        upright.convert("RGBA" if upright.has_transparency_data else "RGB").save(file, "PNG")
    return file.getvalue(), ".png"


def _exif(orientation: int) -> bytes:
    """The segment that says how a JPEG is turned and nothing else (EXIF 2.32, 4.6.4, tag 0x0112)."""
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + orientation.to_bytes(2) + b"\0\0"
    body = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + b"\0\0\0\0"
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body


def _delete(place: Place, request_id: str, console: Console, *, dry_run: bool) -> int:
    """Every version of a request's pictures and of what was said about them."""
    if not REQUEST_ID.fullmatch(request_id):
        raise UsageError(f"{request_id!r} is no request_id of a reply")
    found = list(_versions(place, request_id))
    if not found:
        raise PlaceError(f"nothing is kept of the request {request_id} at {place.url}")
    for key, version in () if dry_run else found:
        with s3_trouble(f"deleting s3://{place.bucket}/{key}"):
            place.client.delete_object(Bucket=place.bucket, Key=key, VersionId=version)
    document = {"request_id": request_id, "deleted": [key for key, _ in found], "dry_run": dry_run}
    word = "Would delete" if dry_run else "Deleted"
    lines = [f"{word} {key} (version {version})" for key, version in found]
    console.result(document, lines if dry_run else [*lines, "Copies that somebody took are theirs to delete."])
    return 0


def _versions(place: Place, request_id: str) -> Iterator[tuple[str, str]]:
    own = re.compile(f"{re.escape(request_id)}(-\\d+)?({re.escape(SUFFIX)})?")
    with s3_trouble(f"listing the versions of {place.url}"):
        pages = place.client.get_paginator("list_object_versions").paginate(
            Bucket=place.bucket, Prefix=place.prefix + request_id
        )
        for page in pages:
            for item in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                if own.fullmatch(item["Key"].removeprefix(place.prefix)):
                    yield item["Key"], item["VersionId"]
