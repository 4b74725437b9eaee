"""Giving back library pages, seen by the kernel's own account of a fresh process that has imported TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys

from classifier.bootstrap import pages

CODE = """
import json, os, sys
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
from contextlib import nullcontext
from classifier.bootstrap import pages
def status(name):
    return next(int(line.split()[1]) >> 10 for line in open("/proc/self/status") if line.startswith(name))
gives = nullcontext() if sys.argv[1] == "plain" else pages.given_back_after(sys.argv[1])
finders = list(sys.meta_path)
with gives:
    import tensorflow as tf
result = {"peak": status("VmHWM"), "now": status("VmRSS"), "finders": sys.meta_path[:2] == finders[:2]}
image = tf.reshape(tf.range(48, dtype=tf.float32), (1, 4, 4, 3))
call = tf.function(lambda x: tf.nn.conv2d(x, tf.ones((2, 2, 3, 1)), 1, "SAME"))
result["sum"] = float(tf.reduce_sum(call(image)))
print(json.dumps(result))
"""


def measured(loaded: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", CODE, loaded], capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def test_importing_tensorflow_takes_a_third_less_memory_and_it_computes_the_same() -> None:
    lean, plain = measured("tensorflow.python._pywrap_tensorflow_internal"), measured("plain")

    assert lean["peak"] < 0.8 * plain["peak"]
    assert lean["now"] < 0.7 * plain["now"]
    assert lean["sum"] == plain["sum"]
    assert lean["finders"]


SMAPS = """\
7f0000000000-7f0000002000 r-xp 00000000 00:1 7  /x/tensorflow/lib_a.so.2
Rss:                   8 kB
Anonymous:             0 kB
7f0000002000-7f0000003000 r--p 00002000 00:1 7  /x/tensorflow/lib_a.so.2
Rss:                   4 kB
Anonymous:             4 kB
7f0000003000-7f0000004000 rw-p 00003000 00:1 7  /x/tensorflow/lib_a.so.2
Anonymous:             0 kB
7f0000005000-7f0000006000 r--p 00003000 00:1 7  /x/other/lib_b.so
Anonymous:             0 kB
7f0000007000-7f0000008000 r--p 00000000 00:1 8  /x/tensorflow/lib_c.so
Anonymous:             0 kB
"""


def test_only_pages_that_the_file_still_holds_are_given_back() -> None:
    ranges = list(pages.clean_ranges(SMAPS, "/tensorflow/"))

    assert ranges == [(0x7F0000000000, 0x7F0000002000), (0x7F0000007000, 0x7F0000008000)]
