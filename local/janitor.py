"""Leaves nothing behind: one folder for everything, and a shell that empties it when this process is gone.

The shell waits for the end of a pipe whose other end only this process has. That end comes however the process ends,
by SIGKILL too; then every process group named in `<sandbox>/pid` is killed, and the folder and the control groups that
`<sandbox>/groups` names are removed.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

_SWEEP = """
trap '' INT TERM HUP
cat > /dev/null
for file in "$1"/*/pid; do
    # Without `--`, which not every shell knows.
    if [ -f "$file" ]; then kill -9 "-$(cat "$file")" 2> /dev/null; fi
done
for file in "$1"/*/groups; do
    [ -f "$file" ] || continue
    while read -r folder; do rmdir "$folder" || { sleep 0.2; rmdir "$folder"; }; done < "$file"
done 2> /dev/null
rm -rf -- "$1"
"""


class Janitor:
    """Owns the folder `root` until `close`."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="local-lambda-"))
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SWEEP, "janitor", str(self.root)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def close(self) -> None:
        """Kill what still runs and remove the folder."""
        if self._shell.stdin is not None:
            self._shell.stdin.close()
        self._shell.wait()
