from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.launch import PROJECT

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="the framework's plugin needs Node")

HARNESS = """
const [folder, functions, act] = [process.argv[1], JSON.parse(process.argv[2]), process.argv[3]];
const Plugin = require(process.cwd() + '/tools/packaging/plugin');
const service = { functions, package: {}, custom: { pythonRequirements: { usePoetry: false } } };
class Failure extends Error {}
const plugin = new Plugin({ serviceDir: folder, service, classes: { Error: Failure } }, {}, { log: { notice() {} } });
const acts = {
  hooks: () => Object.keys(plugin.hooks),
  ephemeral: () => plugin.ephemeralMb(),
  artifact: () => plugin.artifact(),
  prepare: async () => { plugin.python = 'x'; await plugin.prepare(); return service.custom.pythonRequirements; },
  take: async () => { await plugin.takeInstalled(); return plugin.installed; },
};
Promise.resolve().then(acts[act]).then((value) => console.log(JSON.stringify({ value })),
  (error) => console.log(JSON.stringify({ error: error.message, ours: error instanceof Failure })));
"""


def plugin(folder: Path, act: str, functions: object = None) -> dict[str, object]:
    command = ["node", "-e", HARNESS, str(folder), json.dumps(functions or {"classify": {}}), act]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_it_works_before_and_after_the_zip_for_the_service_and_for_one_function(tmp_path: Path) -> None:
    assert plugin(tmp_path, "hooks")["value"] == [
        "before:package:cleanup",
        "before:package:createDeploymentArtifacts",
        "after:package:createDeploymentArtifacts",
        "before:deploy:function:initialize",
        "before:deploy:function:packageFunction",
        "after:deploy:function:packageFunction",
    ]


@pytest.mark.parametrize(
    ("functions", "expected"),
    [
        ({"a": {}}, 512),
        ({"a": {"ephemeralStorageSize": 2048}}, 2048),
        ({"a": {"ephemeralStorageSize": 2048}, "b": {}}, 512),
    ],
)
def test_the_smallest_tmp_of_all_functions_counts(tmp_path: Path, functions: object, expected: int) -> None:
    assert plugin(tmp_path, "ephemeral", functions)["value"] == expected


def test_the_framework_has_to_have_made_a_zip(tmp_path: Path) -> None:
    made = {"a": {"package": {"artifact": ".serverless/a.zip"}}}

    assert plugin(tmp_path, "artifact", made)["value"] == str(tmp_path / ".serverless" / "a.zip")
    assert plugin(tmp_path, "artifact") == {
        "error": "Packer: the framework made no zip to put the dependencies into",
        "ours": True,
    }


@pytest.mark.parametrize("linked", [True, False])
def test_what_was_installed_is_taken_and_an_empty_folder_left_to_inject(tmp_path: Path, linked: bool) -> None:
    link = tmp_path / ".serverless" / "requirements"
    home = tmp_path / "cache" if linked else link
    home.mkdir(parents=True)
    (home / "numpy.py").write_text("installed")
    if linked:
        link.parent.mkdir()
        link.symlink_to(home)
    taken = Path(str(plugin(tmp_path, "take")["value"]))

    assert (taken / "numpy.py").read_text() == "installed"
    assert (link.is_dir(), link.is_symlink(), list(link.iterdir())) == (True, False, [])


def test_the_installer_gets_our_python_and_the_flags_of_lambdas_platform(tmp_path: Path) -> None:
    python = tmp_path / "build" / "packer-venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    pins = "numpy==2.5.0 \\\n    --hash=sha256:0\nzstandard==0.25.0 \\\n    --hash=sha256:0\n"
    (tmp_path / "requirements.txt").write_text(pins)
    (tmp_path / "build" / "packer-venv" / ".ready").write_text("numpy==2.5.0 zstandard==0.25.0")
    options = plugin(tmp_path, "prepare")["value"]

    assert isinstance(options, dict)
    assert options["usePoetry"] is False
    assert (options["pythonBin"], options["zip"], options["slim"]) == (str(python), False, False)
    assert {"--platform manylinux_2_28_x86_64", "--only-binary :all:", "--python-version 3.13"} <= set(
        options["pipCmdExtraArgs"]
    )
