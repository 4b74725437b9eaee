"""Decoding in a process of its own, and what it costs: time, memory, crashes and imports."""

from __future__ import annotations

import subprocess
import sys
import time
from copy import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from classifier.errors import ImageComplexityError, ImageDimensionsError, ImageError, ImageTimeoutError, OutOfTimeError
from classifier.pictures import apart
from classifier.pictures import decode as decoding
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import Picture
from classifier.pictures.preprocessing import Preprocessing
from classifier.pictures.render import DecodedImage, render
from local.launch import PROJECT
from tests.support import pictures
from tests.support.decoding import LIMITS, OPAQUE, decode, encoded

if TYPE_CHECKING:
    from collections.abc import Callable


def test_every_format_is_decoded_apart_as_it_is_here() -> None:
    spec = Preprocessing(size=(20, 30), resize="crop", filter="lanczos", mean=(1.0, 2.0, 3.0))
    for name in ("JPEG", "RGB JPEG", "PNG", "16-bit colour PNG", "AVIF"):
        picture = inspect(OPAQUE[name], LIMITS)
        assert apart.decode_apart(picture, spec, LIMITS) == render(picture, spec, LIMITS)


def test_error_apart_is_the_error_here() -> None:
    limits = replace(LIMITS, max_pixels=100)
    with pytest.raises(ImageDimensionsError) as caught:
        decode(OPAQUE["TIFF"], limits)
    assert caught.value.public == "The picture has 2867 pixels (61 x 47), at most 100 are accepted."
    with pytest.raises(ImageError):
        decode(OPAQUE["TIFF"][:-3000])


def test_decoding_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(ImageTimeoutError):
        decode(OPAQUE["TIFF"], replace(LIMITS, decode_timeout_s=0.01))


def test_decoding_ends_with_the_requests_own_time() -> None:
    picture = inspect(OPAQUE["TIFF"], LIMITS)
    for left_s in (-1, 0.01):
        with pytest.raises(OutOfTimeError, match="were left"):
            decoding.decode(picture, Preprocessing(size=(20, 30)), LIMITS, time.monotonic() + left_s)


def test_decoder_that_keeps_the_cpu_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    spin = "import classifier.pictures.render as i,itertools;i.render=lambda *_:all(itertools.repeat(1));main()"
    monkeypatch.setattr(apart, "_START", apart._START.replace("main()", spin))
    monkeypatch.setattr(apart, "CLOCK_FACTOR", 100)
    with pytest.raises(ImageTimeoutError, match="CPU"):
        decode(OPAQUE["TIFF"], replace(LIMITS, decode_timeout_s=1))


def test_decoder_that_needs_too_much_memory_costs_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    swell = "import classifier.pictures.render as i;i.render=lambda *_:bytes(1<<30);main()"
    monkeypatch.setattr(apart, "_START", apart._START.replace("main()", swell))
    with pytest.raises(ImageComplexityError):
        decode(OPAQUE["TIFF"])


def test_decoder_that_crashes_costs_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    crash = "import classifier.pictures.render as i,os;i.render=lambda *_:os.abort();main()"
    monkeypatch.setattr(apart, "_START", apart._START.replace("main()", crash))
    with pytest.raises(ImageError, match="ended with -6"):
        decode(OPAQUE["TIFF"])


def test_decoding_process_has_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    show = "import os;assert 'AWS_SECRET_ACCESS_KEY' not in os.environ, 'seen';main()"
    monkeypatch.setattr(apart, "_START", apart._START.replace("main()", show))
    assert decode(OPAQUE["TIFF"]).format == "TIFF"


APART: dict[str, Callable[[Picture], Picture]] = {
    "slow format": lambda picture: replace(picture, slow=True),
    "much time": lambda picture: replace(picture, width=40_000, height=1_000),
    "much memory": lambda picture: replace(picture, coefficient_bytes=400_000_000),
}


@pytest.mark.parametrize("why", APART)
def test_what_may_cost_much_is_decoded_apart(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = inspect(OPAQUE["JPEG"], LIMITS)
    there = DecodedImage(b"", "JPEG", 1, 1)
    monkeypatch.setattr(apart, "decode_apart", lambda *_: there)
    spec = Preprocessing(size=(20, 30))
    assert decoding.decode(picture, spec, LIMITS) != there
    assert decoding.decode(APART[why](picture), spec, LIMITS) == there


def test_a_strip_whose_resize_takes_long_is_decoded_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    there = DecodedImage(b"", "PNG", 1, 1)
    monkeypatch.setattr(apart, "decode_apart", lambda *_: there)
    spec = Preprocessing(size=(224, 224), pixels="tensorflow", filter="lanczos5", antialias=True)
    strip = inspect(pictures.encoded(Image.new("L", (40_000, 1)), "PNG"), LIMITS)
    assert decoding.decode(strip, spec, LIMITS) == there
    assert decoding.decode(inspect(OPAQUE["PNG"], LIMITS), spec, LIMITS) != there


def test_picture_that_does_not_fit_into_the_function_is_refused() -> None:
    data = pictures.encoded(Image.new("P", (3000, 3000)), "PNG")
    assert decode(data, replace(LIMITS, function_memory_bytes=8 << 30)).width == 3000
    with pytest.raises(ImageDimensionsError, match="are left"):
        decode(data, replace(LIMITS, function_memory_bytes=128 << 20))


def test_one_picture_imports_one_plugin(tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(encoded("JPEG", exif=pictures.exif(6)))
    program = (
        "import sys, pathlib\n"
        "from classifier.pictures.decode import decode\n"
        "from classifier.pictures.headers.inspection import inspect\n"
        "from classifier.pictures.headers.picture import ImageLimits\n"
        "from classifier.pictures.preprocessing import Preprocessing\n"
        "picture = inspect(pathlib.Path(sys.argv[1]).read_bytes(), ImageLimits())\n"
        "decode(picture, Preprocessing(size=(9, 9)), ImageLimits())\n"
        "print(sorted(name for name in sys.modules if name.endswith('Plugin')), 'numpy' in sys.modules)\n"
    )
    command = [sys.executable, "-c", program, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert (done.stdout, done.stderr) == ("['PIL.JpegImagePlugin'] False\n", "")
