"""What INIT leaves for later: Pillow's imports that decoding never uses are there when they are asked for."""

from __future__ import annotations

import json
import subprocess
import sys

from local.launch import PROJECT

SCRIPT = """
import json, sys
from classifier.pictures import preload

def loaded():
    return [name for name in preload.LATER if "__getattr__" not in vars(sys.modules[name])]

formats = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
preload.preload(formats)
from io import BytesIO
from PIL import Image
from classifier.pictures.decode import decode
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from classifier.pictures.preprocessing import Preprocessing
limits, stages = ImageLimits(), [loaded()]
for name in formats:
    stream = BytesIO()
    Image.new("RGB", (20, 20), "red").save(stream, name)
    decode(inspect(stream.getvalue(), limits), Preprocessing(size=(9, 9)), limits)
stages.append(loaded())
from PIL import ExifTags, TiffTags
import subprocess
found = [ExifTags.Base.Orientation, TiffTags.lookup(256).name, subprocess.run(["true"]).returncode]
import PIL.ExifTags
print(json.dumps([*stages, loaded(), found, PIL.ExifTags.Base is ExifTags.Base]))
"""


def test_decoding_asks_for_nothing_that_is_left_for_later_and_whoever_asks_gets_it() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=PROJECT, capture_output=True, text=True, check=True)
    after_preload, after_decoding, asked, found, same = json.loads(done.stdout)
    assert after_preload == []
    assert after_decoding == []
    assert asked == ["PIL.ExifTags", "PIL.TiffTags", "subprocess"]
    assert found == [274, "ImageWidth", 0]
    assert same
