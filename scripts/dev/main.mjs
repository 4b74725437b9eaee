// What the npm scripts do: make the tools ready, then run Python. All that is missing comes from the package registries
// that pip, uv and npm are set up for.
import { alone } from "./lock.mjs";
import { readyNode } from "./node.mjs";
import { checkOptions } from "./options.mjs";
import { PYTHON, VENV_PYTHON, readyPython, usePipsIndex, uv } from "./python.mjs";
import { Problem, passSignalsOn, run, step } from "./run.mjs";

const NODE = 22; // what the framework's SDK wants from January 2027 on

function checkMachine() {
  if (process.platform === "win32") throw new Problem("This runs on Linux and macOS. On Windows, use WSL.");
  if (Number(process.versions.node.split(".")[0]) < NODE) process.stderr.write(`Node ${NODE} will be needed from January 2027; this is ${process.version}.\n`);
}

/** Both at once; what one of them lacks is said when the other is done, too. */
const ready = (level) => alone(async () => {
  const failed = (await Promise.allSettled([readyPython(level), readyNode()])).filter((one) => one.status === "rejected");
  if (failed.length) throw failed[0].reason;
});

async function test(args) {
  await ready("all");
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

async function start(args) {
  checkOptions(args);
  await alone(() => readyPython("start")); // the framework waits until it is needed: local/framework.py
  return run(VENV_PYTHON, ["-m", "local", ...args]);
}

async function setup() {
  await ready("all");
  return 0;
}

async function framework() {
  await alone(readyNode);
  return 0;
}

/** What ai-edge-litert asks for and its C library, which is all that is used of it, does not. */
const UNUSED = ["numpy", "ml-dtypes", "protobuf", "flatbuffers", "tqdm", "backports-strenum"];

async function lock(args) {
  usePipsIndex();
  const tool = await uv();
  const common = ["pip", "compile", "--quiet", "--generate-hashes", "--python-version", PYTHON, "--custom-compile-command", "npm run lock"];
  const compile = (output, input, ...more) => step(`Compiling ${output}`, tool, [...common, ...more, "-o", output, ...args, input]);
  const wheels = (machine) => ["--only-binary", ":all:", "--python-platform", `${machine}-manylinux_2_28`];
  await compile("requirements.txt", "requirements.in", ...wheels("x86_64"));
  await compile("requirements-arm64.txt", "requirements.in", ...wheels("aarch64"), "--constraint", "requirements.txt");
  await compile("requirements-dev.txt", "requirements-dev.in", "--universal");
  const unused = UNUSED.flatMap((one) => ["--no-emit-package", one]);
  await compile("requirements-start.txt", "requirements-start.in", "--universal", ...unused);
  await ready("all");
  await step("Reading serverless.yml", VENV_PYTHON, ["-m", "local.framework"]);
  return 0;
}

const verbs = { start, test, setup, framework, lock };

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
