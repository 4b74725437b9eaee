// Running other programs: quick questions, steps with a progress line, and the program that everything was made ready for.
import { spawn, spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const PROJECT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** What the user has to know, in one sentence or two: no stack is shown for it. */
export class Problem extends Error {}

export const env = { ...process.env };
// Ours to decide: without bytecode every start compiles thousands of modules; the others would leak a foreign Python in,
// and PIP_USER would put uv elsewhere than it is looked for.
for (const name of ["PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSAFEPATH", "PIP_USER"]) delete env[name];

const children = new Set();
let stopped;

export function passSignalsOn() {
  // Ctrl-C reaches the children by itself; they clean up, and we leave after them.
  process.on("SIGINT", () => { stopped = "SIGINT"; });
  const end = () => { stopped = "SIGTERM"; for (const child of children) child.kill("SIGTERM"); };
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, end);
  // npm passes a signal on to its shell, which may not pass it on to us: then we notice that we have no parent any more.
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && end(), 500).unref();
}

/** Ask a program something that takes no time. */
export function capture(command, args, options = {}) {
  const run = spawnSync(command, args, { cwd: PROJECT, env, encoding: "utf8", maxBuffer: 1 << 28, ...options });
  return { ok: run.status === 0, out: (run.stdout ?? "").trim(), all: `${run.stdout ?? ""}${run.stderr ?? ""}${run.error ?? ""}`.trim() };
}

const OFFLINE = /dns error|name resolution|could ?n[o']t resolve host|failed to lookup|getaddrinfo|ENOTFOUND|EAI_AGAIN|ECONN|ENETUNREACH|connection (refused|reset|error|broken)|connect error|network is unreachable|timed? ?out|proxy|certificate/i;

/** pip, uv and npm have many words for "no network", of which the first line that says so is enough; else the last lines are the ones to read. */
export function reason(said) {
  const lines = said.split("\n");
  const offline = lines.find((line) => OFFLINE.test(line));
  return offline ? ` the package registry did not answer. Is there a network? (${offline.trim().slice(-120)})` : `\n${lines.slice(-6).join("\n")}`;
}

const QUIET_MS = 4000;

/** Run something that may take long: says what it does, and every few seconds that it still does. Problem if it fails. */
export async function step(what, command, args) {
  process.stderr.write(`${what} ...\n`);
  const said = await attempt(what, command, args);
  if (!said.ok) throw new Problem(`${what} failed:${reason(said.all)}`);
}

/** A step's command, or one of several that would do: whether it could, and all that it said. Problem if it was stopped. */
export async function attempt(what, command, args) {
  const started = Date.now();
  const ticker = setInterval(() => process.stderr.write(`  still at it: ${what}, ${Math.round((Date.now() - started) / 1000)} s\n`), QUIET_MS);
  try {
    const said = await collect(command, args);
    await new Promise((resolve) => { setImmediate(resolve); }); // a signal's handler runs after what the signal ended
    if (stopped) throw new Problem(`Stopped while ${what[0].toLowerCase()}${what.slice(1)}. Run it again, and it goes on from there.`);
    return said;
  } finally {
    clearInterval(ticker);
  }
}

function collect(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: PROJECT, env, stdio: ["ignore", "pipe", "pipe"] });
    const parts = [];
    children.add(child);
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => parts.push(text));
    const done = (ok, more = "") => { children.delete(child); resolve({ ok, all: `${Buffer.concat(parts)}${more}`.trim() }); };
    child.on("error", (error) => done(false, error.message));
    child.on("close", (code) => done(code === 0));
  });
}

/** Run what everything was made ready for, on our terminal; returns its exit status. */
export function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: PROJECT, env, stdio: "inherit" });
    children.add(child);
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      children.delete(child);
      if (signal && !stopped) process.stderr.write(`${args.slice(0, 2).join(" ")} was ended by ${signal}\n`);
      resolve(code ?? (signal === "SIGINT" ? 130 : stopped ? 0 : 1));
    });
  });
}
