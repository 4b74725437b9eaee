from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.launch import PROJECT
from local.s3 import LocalS3

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="the framework's plugin needs Node")

HARNESS = """
const [folder, functions, act] = [process.argv[1], JSON.parse(process.argv[2]), process.argv[3]];
const Plugin = require(process.cwd() + '/tools/packaging/plugin');
const { architectures, CROSS_INSTALL, removeOthers } = require(process.cwd() + '/tools/packaging/plugin/install');
const service = { functions, package: {}, custom: { pythonRequirements: { usePoetry: false } } };
class Failure extends Error {}
const plugin = new Plugin({ serviceDir: folder, service, classes: { Error: Failure } }, {}, { log: { notice() {} } });
const acts = {
  hooks: () => Object.keys(plugin.hooks),
  ephemeral: () => plugin.ephemeralMb(Object.values(functions)),
  architectures: () => Object.fromEntries(Object.entries(architectures(service)).map(([name, found]) =>
    [name, found.map((each) => Object.keys(functions).find((key) => functions[key] === each))])),
  flags: () => CROSS_INSTALL,
  artifact: () => plugin.artifact(),
  others: () => removeOthers(folder + '/installed-arm64-new'),
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
        "after:aws:deploy:deploy:checkForChanges",
        "before:deploy:function:deploy",
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


def test_functions_are_packed_by_their_architecture(tmp_path: Path) -> None:
    functions = {"classify": {"architecture": "arm64"}, "compile": {}, "bulk": {"architecture": "arm64"}}
    assert plugin(tmp_path, "architectures", functions)["value"] == {
        "arm64": ["classify", "bulk"],
        "x86_64": ["compile"],
    }


def test_of_another_architectures_installations_the_last_stays(tmp_path: Path) -> None:
    for name in ("installed-arm64-old", "installed-arm64-new", "installed-riscv-old", "cache"):
        (tmp_path / name / "inside").mkdir(parents=True)
    plugin(tmp_path, "others")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "installed-arm64-new", "installed-riscv-old"]


def test_pip_is_told_everything_that_it_would_else_ask_of_this_machine(tmp_path: Path) -> None:
    """Its markers are the host's even with --platform: on Windows, dependencies would ask for colorama."""
    flags = plugin(tmp_path, "flags")["value"]
    assert isinstance(flags, dict)
    for architecture, machine in (("x86_64", "x86_64"), ("arm64", "aarch64")):
        assert {f"--platform manylinux_2_28_{machine}", "--no-deps", "--only-binary :all:"} <= set(flags[architecture])
        assert all(machine in flag for flag in flags[architecture] if flag.startswith("--platform"))


DEPLOY = """
const [folder, endpoint] = process.argv.slice(1);
const { putPacks } = require(process.cwd() + '/tools/packaging/plugin/bucket');
const credentials = { accessKeyId: 'testing', secretAccessKey: 'testing' };
const provider = {
  getAwsSdkV3Config: async () => ({ region: 'us-east-1', endpoint, forcePathStyle: true, credentials }),
  getServerlessDeploymentBucketName: async () => 'framework-bucket',
  getDeploymentPrefix: () => 'serverless', getStage: () => 'dev', isS3TransferAccelerationEnabled: () => false,
};
const service = { service: 'keras-classifier', provider: {} };
class AwsDeploy {}
const deploy = Object.assign(new AwsDeploy(), { provider, serverless: { service } },
  require(process.cwd() + '/node_modules/serverless/lib/plugins/aws/lib/upload-zip-file'));
const said = [];
const serverless = { service, getProvider: () => provider, pluginManager: { plugins: [deploy] } };
putPacks({ serverless, log: { notice: (text) => said.push(text) } }, folder).then(() => console.log(said.join('\\n')));
"""


def test_a_pack_is_uploaded_once_by_the_framework_and_again_when_it_was_spoilt(tmp_path: Path) -> None:
    """The framework's own upload, in parts, against a real server; what it asks S3 is what the last list says."""
    packs, digest = tmp_path / "packs", "ab" * 32
    packs.mkdir()
    (packs / digest).write_bytes(os.urandom(6 << 20))
    key = f"serverless/keras-classifier/dev/packs/{digest}"
    s3 = LocalS3()
    s3.start()
    try:
        client = s3.client()
        client.create_bucket(Bucket="framework-bucket")

        def put() -> tuple[str, list[str]]:
            before = len(s3.requests)
            command = ["node", "-e", DEPLOY, str(packs), s3.endpoint]
            done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
            body = client.get_object(Bucket="framework-bucket", Key=key)["Body"].read()
            assert body == (packs / digest).read_bytes()
            return done.stdout.split("(")[0].strip(), [one.method for one in s3.requests[before:-1]]

        uploaded = ("TensorFlow's pack was put into the bucket", ["HEAD", "POST", "PUT", "PUT", "POST"])
        there = ("TensorFlow's pack is in the bucket already", ["HEAD"])
        assert [put(), put()] == [uploaded, there]
        content = (packs / digest).read_bytes()
        for spoilt in (content[:-1] + bytes([content[-1] ^ 1]), content[:-1]):
            client.put_object(Bucket="framework-bucket", Key=key, Body=spoilt)
            assert put() == uploaded
        client.delete_object(Bucket="framework-bucket", Key=key)
        assert [put(), put()] == [uploaded, there]
    finally:
        s3.stop()


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
    assert options["staticCacheMaxVersions"] == 3
    assert (options["pythonBin"], options["zip"], options["slim"]) == (str(python), False, False)
    assert {"--platform manylinux_2_28_x86_64", "--only-binary :all:", "--no-deps", "--python-version 3.13"} <= set(
        options["pipCmdExtraArgs"]
    )
