"""The Serverless Framework as `npm ci` installs it, and the mark of tests that run it."""

import pytest

from local.launch import PROJECT

FRAMEWORK = PROJECT / "node_modules" / ".bin" / "serverless"
needs_framework = pytest.mark.skipif(not FRAMEWORK.exists(), reason="needs node_modules: run npm ci")
