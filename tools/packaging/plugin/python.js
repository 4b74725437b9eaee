'use strict';
// Finds a Python 3.13 and makes a virtual environment of the packer's own from it, with pip, numpy and zstandard.

const fs = require('fs');
const path = require('path');
const { execFile } = require('child_process');
const { promisify } = require('util');

const run = promisify(execFile);
const WINDOWS = process.platform === 'win32';
const PROBE = 'import sys; print(*sys.version_info[:2])';

/** The interpreter of build/packer-venv, made on first use. `wanted` is tried before the usual places. */
async function findPython(folder, wanted) {
  const venv = path.join(folder, 'build', 'packer-venv');
  const python = path.join(venv, WINDOWS ? 'Scripts/python.exe' : 'bin/python');
  const ready = path.join(venv, '.ready');
  const pins = pinned(folder);
  const stamp = pins.join(' ');
  if (fs.existsSync(ready) && fs.readFileSync(ready, 'utf8') === stamp && (await isRight(python))) return python;
  const base = await firstRight(wanted ? [wanted] : candidates(folder));
  if (!base) {
    throw new Error('Packer: no Python 3.13 found (Lambda runs 3.13, and bytecode is made for it). ' +
      'Install one, or name it in PACK_PYTHON or custom.packer.python');
  }
  await run(base, ['-m', 'venv', '--clear', venv]);
  await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...pins]);
  fs.writeFileSync(ready, stamp);
  return python;
}

/** The same zstandard that unpacks in Lambda, so that format and checksums are one library's; numpy reads symbol tables. */
function pinned(folder) {
  const text = fs.readFileSync(path.join(folder, 'requirements.txt'), 'utf8');
  return ['numpy', 'zstandard'].map((name) => text.match(new RegExp(`^${name}==[\\w.]+`, 'm'))?.[0] ?? name);
}

function candidates(folder) {
  const local = path.join(folder, '.venv', WINDOWS ? 'Scripts/python.exe' : 'bin/python');
  return [local, 'python3.13', 'python3', 'python'];
}

async function firstRight(names) {
  for (const name of names) if (await isRight(name)) return name;
  return undefined;
}

async function isRight(name) {
  try {
    return (await run(name, ['-c', PROBE])).stdout.trim() === '3 13';
  } catch {
    return false;
  }
}

module.exports = { findPython };
