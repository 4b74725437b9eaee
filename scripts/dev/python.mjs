// Python 3.13 and .venv: little for `npm start`, all for `npm test` and for whatever needs TensorFlow.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";
import { PROJECT, Problem, attempt, capture, env, reason, step } from "./run.mjs";

export const PYTHON = "3.13"; // what Lambda runs
const UV = "0.13.8";
const VENV = join(PROJECT, ".venv");
export const VENV_PYTHON = join(VENV, "bin", "python");

// tests/test_requirements.py holds that the second has everything that the first has, in the same versions.
const LEVELS = {
  start: { file: "requirements-start.txt", what: "Installing the local Lambda", mb: 500 },
  all: { file: "requirements-dev.txt", what: "Installing TensorFlow and the tests' tools (a minute or two, once)", mb: 3000 },
};

const digest = (...parts) => createHash("sha256").update(parts.join("\0")).digest("hex");
const wanted = (level) => digest(readFileSync(join(PROJECT, LEVELS[level].file), "utf8"), PYTHON);
const STAMP = join(VENV, ".stamp");
const installed = () => (existsSync(STAMP) && existsSync(VENV_PYTHON) ? readFileSync(STAMP, "utf8").split("\n") : []);

/** Make .venv ready: `start` for what `npm start` needs, `all` for everything. */
export async function readyPython(level) {
  const there = installed();
  if (there.includes(wanted(level)) || there.includes(wanted("all"))) return;
  const { file, what, mb } = LEVELS[level];
  checkRoom(mb);
  usePipsIndex();
  const tool = await uv();
  if (!capture(VENV_PYTHON, ["-c", `import sys; sys.exit('%d.%d' % sys.version_info[:2] != '${PYTHON}')`]).ok) {
    rmSync(VENV, { recursive: true, force: true });
    await step("Creating .venv", tool, ["venv", "--python", await installedPython(tool), VENV]);
  }
  // `install` leaves alone what is there already; `sync` also removes what is no longer named.
  const how = level === "all" ? ["pip", "sync", file] : ["pip", "install", "--no-deps", "--requirements", file];
  await step(what, tool, [...how, "--python", VENV_PYTHON]);
  writeFileSync(STAMP, [wanted(level), ...(level === "all" ? [] : installed())].join("\n"));
}

function checkRoom(mb) {
  const disk = statfsSync(PROJECT);
  const free = Math.floor((disk.bavail * disk.bsize) / 1e6);
  if (free < mb) throw new Problem(`This needs ${mb} MB of disk; ${free} MB are free here.`);
}

function anyPython() {
  const asked = ["python3", "python", "py"].map((name) => [name, capture(name, ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"])]);
  const good = asked.find(([, said]) => said.ok && Number(said.out.split(".")[0]) === 3 && Number(said.out.split(".")[1]) >= 9);
  if (good) return good[0];
  const old = asked.filter(([, said]) => said.ok).map(([name, said]) => `${name} is ${said.out}`);
  const found = old.length ? old.join(", ") : "no python3 was found";
  throw new Problem(`Python 3.9 or newer is needed to begin with; ${found}. Install one, or uv, and run this again.`);
}

/** The command of uv: the user's, or one of our own in build/. */
export async function uv() {
  if (capture("uv", ["pip", "sync", "--help"]).ok) return "uv";
  const folder = join(PROJECT, "build", "tools", `uv-${UV}`);
  const binary = join(folder, "bin", "uv");
  if (capture(binary, ["--version"]).ok) return binary;
  const python = anyPython();
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const what = `Installing uv ${UV}`;
  process.stderr.write(`${what} ...\n`);
  const asked = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", `uv==${UV}`];
  // Debian's Python may come without pip or without ensurepip (no venv): either way is enough, and the first is quicker.
  const plain = await attempt(what, python, [...asked, "--target", folder]);
  if (plain.ok && capture(binary, ["--version"]).ok) return binary;
  const venv = await attempt(what, python, ["-m", "venv", "--clear", folder]);
  const inside = venv.ok ? await attempt(what, join(folder, "bin", "python"), asked) : venv;
  if (inside.ok && capture(binary, ["--version"]).ok) return binary;
  const said = `${inside.all}\n${plain.all}`;
  const hint = /No module named/.test(plain.all) ? " on Debian and Ubuntu this needs the package python3-venv or python3-pip." : "";
  throw new Problem(`uv, which installs the rest, could not be installed:${hint}${reason(said)}`);
}

/** uv does not read pip's configuration: somebody with a mirror has usually told pip only. */
export function usePipsIndex() {
  if (Object.keys(env).some((name) => /^UV_(DEFAULT_INDEX|INDEX|INDEX_URL|CONFIG_FILE)$/.test(name))) return;
  if (existsSync(join(env.XDG_CONFIG_HOME ?? join(homedir(), ".config"), "uv", "uv.toml"))) return;
  const configured = capture("python3", ["-m", "pip", "config", "get", "global.index-url"]);
  const url = env.PIP_INDEX_URL ?? (configured.ok ? configured.out : "");
  if (url) env.UV_DEFAULT_INDEX = url;
}

async function installedPython(tool) {
  const pyenv = join(env.PYENV_ROOT ?? join(homedir(), ".pyenv"), "versions");
  const inPyenv = existsSync(pyenv) ? readdirSync(pyenv).filter((name) => name.startsWith(`${PYTHON}.`)).map((name) => join(pyenv, name, "bin", "python3")) : [];
  const works = (python) => capture(python, ["-c", "import ssl, ctypes, sys; print('%d.%d' % sys.version_info[:2])"]).out === PYTHON;
  // pyenv's shims answer for a version that is not switched on with an error: hence its folders, and the trial run.
  const found = [`python${PYTHON}`, ...inPyenv, "python3"].find(works);
  if (found) return found;
  const managed = capture(tool, ["python", "find", "--managed-python", PYTHON]);
  if (managed.ok) return managed.out;
  try {
    await step(`Looking for a Python ${PYTHON} to install`, tool, ["python", "install", PYTHON]);
  } catch (error) {
    throw new Problem(`Python ${PYTHON} is needed (it is what Lambda runs); none was found, and uv could not fetch one. Install it, with your system's packages or pyenv, and run this again.\n${error.message.split("\n").at(-1)}`);
  }
  return capture(tool, ["python", "find", "--managed-python", PYTHON]).out;
}
