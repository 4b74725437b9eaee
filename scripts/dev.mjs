// npm start, npm test and npm run lock: makes the tools ready (Python 3.13, .venv, node_modules), then runs Python.
// Needs Node >= 20 and any Python 3; everything else comes from the package registries that pip, uv and npm are set up for.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PROJECT = join(dirname(fileURLToPath(import.meta.url)), "..");
const PYTHON = "3.13"; // what Lambda runs
const UV = "0.13.8";
const ROOM_MB = 3000; // .venv and node_modules together
const VENV = join(PROJECT, ".venv");
const VENV_PYTHON = join(VENV, "bin", "python");

class Problem extends Error {}

const env = { ...process.env };
// Ours to decide: without bytecode every start compiles thousands of modules; the others would leak a foreign Python in.
for (const name of ["PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSAFEPATH"]) delete env[name];

function capture(command, args, options = {}) {
  const run = spawnSync(command, args, { cwd: PROJECT, env, encoding: "utf8", maxBuffer: 1 << 28, ...options });
  return { ok: run.status === 0, out: (run.stdout ?? "").trim(), all: `${run.stdout ?? ""}${run.stderr ?? ""}${run.error ?? ""}`.trim() };
}

const OFFLINE = /connection|connect error|resolve|ENOTFOUND|ECONN|EAI_AGAIN|network|timed? ?out|proxy|certificate/i;
// pip, uv and npm have many words for this; the last of them are the ones to read.
const reason = (said) => `${OFFLINE.test(said) ? " the package index did not answer. Is there a network?" : ""}\n${said.split("\n").slice(-6).join("\n")}`;

function step(what, command, args) {
  process.stderr.write(`${what} ...\n`);
  const run = capture(command, args);
  if (!run.ok) throw new Problem(`${what} failed:${reason(run.all)}`);
}

const digest = (...parts) => createHash("sha256").update(parts.join("\0")).digest("hex");
const read = (...path) => readFileSync(join(PROJECT, ...path), "utf8");
const stampOf = (folder) => (existsSync(join(folder, ".stamp")) ? readFileSync(join(folder, ".stamp"), "utf8") : "");
const stamp = (folder, text) => writeFileSync(join(folder, ".stamp"), text);

function checkMachine() {
  if (process.platform === "win32") throw new Problem("This runs on Linux and macOS. On Windows, use WSL.");
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20) throw new Problem(`Node 20 or newer is needed; this is ${process.version}.`);
}

function checkRoom() {
  const disk = statfsSync(PROJECT);
  const free = Math.floor((disk.bavail * disk.bsize) / 1e6);
  if (free < ROOM_MB) throw new Problem(`The first run needs ${ROOM_MB} MB of disk; ${free} MB are free here.`);
}

function anyPython() {
  const found = ["python3", "python", "py"].find((name) => capture(name, ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]).ok);
  if (!found) throw new Problem("Python 3 is needed to begin with, and no python3 was found. Install it, or uv, and run this again.");
  return found;
}

function uv() {
  if (capture("uv", ["pip", "sync", "--help"]).ok) return "uv";
  const folder = join(PROJECT, "build", "tools", `uv-${UV}`);
  const binary = join(folder, "bin", "uv");
  if (capture(binary, ["--version"]).ok) return binary;
  const python = anyPython();
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  process.stderr.write(`Installing uv ${UV} ...\n`);
  const asked = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", `uv==${UV}`];
  // Debian's Python may come without ensurepip (no venv) or without pip: either way is enough.
  const inVenv = capture(python, ["-m", "venv", folder]).ok ? capture(join(folder, "bin", "python"), asked) : { ok: false, all: "" };
  const done = inVenv.ok || OFFLINE.test(inVenv.all) ? inVenv : capture(python, [...asked, "--target", folder]);
  if (done.ok && capture(binary, ["--version"]).ok) return binary;
  const hint = /No module named|ensurepip/.test(done.all) ? " on Debian and Ubuntu this needs the package python3-venv or python3-pip." : "";
  throw new Problem(`uv, which installs the rest, could not be installed:${hint}${reason(done.all)}`);
}

function usePipsIndex() {
  // uv does not read pip's configuration: somebody with a mirror has usually told pip only.
  if (Object.keys(env).some((name) => /^UV_(DEFAULT_INDEX|INDEX|INDEX_URL|CONFIG_FILE)$/.test(name))) return;
  if (existsSync(join(env.XDG_CONFIG_HOME ?? join(homedir(), ".config"), "uv", "uv.toml"))) return;
  const url = env.PIP_INDEX_URL ?? capture("python3", ["-m", "pip", "config", "get", "global.index-url"]).out;
  if (url) env.UV_DEFAULT_INDEX = url;
}

function installedPython(tool) {
  const pyenv = join(env.PYENV_ROOT ?? join(homedir(), ".pyenv"), "versions");
  const inPyenv = existsSync(pyenv) ? readdirSync(pyenv).filter((name) => name.startsWith(`${PYTHON}.`)).map((name) => join(pyenv, name, "bin", "python3")) : [];
  const works = (python) => capture(python, ["-c", "import ssl, ctypes, sys; print('%d.%d' % sys.version_info[:2])"]).out === PYTHON;
  // pyenv's shims answer for a version that is not switched on with an error: hence its folders, and the trial run.
  const found = [`python${PYTHON}`, ...inPyenv, "python3"].find(works);
  if (found) return found;
  const managed = capture(tool, ["python", "find", "--managed-python", PYTHON]);
  if (managed.ok) return managed.out;
  process.stderr.write(`Looking for a Python ${PYTHON} to install ...\n`);
  const fetched = capture(tool, ["python", "install", PYTHON]);
  if (fetched.ok) return capture(tool, ["python", "find", "--managed-python", PYTHON]).out;
  throw new Problem(`Python ${PYTHON} is needed (it is what Lambda runs); none was found, and uv could not fetch one. Install it, with your system's packages or pyenv, and run this again.\n${fetched.all.split("\n").at(-1)}`);
}

function readyPython() {
  const wanted = digest(read("requirements-dev.txt"), PYTHON);
  if (stampOf(VENV) === wanted && existsSync(VENV_PYTHON)) return;
  checkRoom();
  usePipsIndex();
  const tool = uv();
  if (!capture(VENV_PYTHON, ["-c", `import sys; sys.exit('%d.%d' % sys.version_info[:2] != '${PYTHON}')`]).ok) {
    rmSync(VENV, { recursive: true, force: true });
    step("Creating .venv", tool, ["venv", "--python", installedPython(tool), VENV]);
  }
  const sync = ["pip", "sync", "--python", VENV_PYTHON, "--compile-bytecode", "requirements-dev.txt"];
  step("Installing Python packages (the first time takes a minute or two)", tool, sync);
  stamp(VENV, wanted);
}

function readyNode() {
  const modules = join(PROJECT, "node_modules");
  const wanted = digest(read("package-lock.json"));
  if (stampOf(modules) === wanted) return;
  const npm = env.npm_execpath ? [process.execPath, env.npm_execpath] : ["npm"];
  if (!capture(npm[0], [...npm.slice(1), "--version"]).ok) throw new Problem("npm is needed, and was not found. It comes with Node from nodejs.org; Debian and Ubuntu have it in the package npm.");
  step("Installing Node packages", npm[0], [...npm.slice(1), "ci", "--no-audit", "--no-fund"]);
  stamp(modules, wanted);
}

let child;

function passSignalsOn() {
  process.on("SIGINT", () => {}); // Ctrl-C reaches the child by itself; it cleans up, and we leave after it
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child?.kill("SIGTERM"));
  // npm passes a signal on to its shell, which may not pass it on to us: then we notice that we have no parent any more.
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && child?.kill("SIGTERM"), 500).unref();
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    child = spawn(command, args, { cwd: PROJECT, env, stdio: "inherit" });
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (signal && signal !== "SIGINT") process.stderr.write(`${args.slice(0, 2).join(" ")} was ended by ${signal}\n`);
      resolve(code ?? (signal === "SIGINT" ? 130 : 1));
    });
  });
}

async function checks(args) {
  if (args.length === 0) {
    for (const check of [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy", "."]]) {
      process.stderr.write(`${check.join(" ")}\n`);
      const code = await run(VENV_PYTHON, ["-m", ...check]);
      if (code !== 0) return code;
    }
  }
  // Whole files go to each process, since tests of one file share sandboxes and models; four may load TensorFlow at once.
  const everything = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder"];
  return run(VENV_PYTHON, ["-m", "pytest", ...(args.length ? args : everything)]);
}

function lock(args) {
  usePipsIndex();
  const common = ["pip", "compile", "--quiet", "--generate-hashes", "--python-version", PYTHON, "--custom-compile-command", "npm run lock"];
  const compile = (output, input, ...more) => step(`Compiling ${output}`, uv(), [...common, ...more, "-o", output, ...args, input]);
  const wheels = (machine) => ["--only-binary", ":all:", "--python-platform", `${machine}-manylinux_2_28`];
  compile("requirements.txt", "requirements.in", ...wheels("x86_64"));
  compile("requirements-arm64.txt", "requirements.in", ...wheels("aarch64"), "--constraint", "requirements.txt");
  compile("requirements-dev.txt", "requirements-dev.in", "--universal");
  return 0;
}

const verbs = {
  start: (args) => (readyPython(), readyNode(), run(VENV_PYTHON, ["-m", "local", ...args])),
  test: (args) => (readyPython(), readyNode(), checks(args)),
  setup: () => (readyPython(), readyNode(), 0),
  lock,
};

try {
  const [verb, ...args] = process.argv.slice(2);
  if (!verbs[verb]) throw new Problem(`Usage: node scripts/dev.mjs ${Object.keys(verbs).join("|")} [arguments]`);
  checkMachine();
  passSignalsOn();
  process.exitCode = await verbs[verb](args);
} catch (error) {
  process.stderr.write(`${error instanceof Problem ? error.message : error.stack}\n`);
  process.exitCode = 1;
}
