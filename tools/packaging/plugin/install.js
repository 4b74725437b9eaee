'use strict';
// Which architectures the functions have, and how pip installs for one that is not this machine's.
//
// serverless-python-requirements installs for one architecture only: x86_64. For another, pip is called here with the
// same flags, into a folder that is kept as long as its requirements are the same.

const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const { execFile } = require('child_process');
const { promisify } = require('util');

const run = promisify(execFile);
const WHEELS = { x86_64: ['manylinux_2_28_x86_64', 'manylinux_2_27_x86_64', 'manylinux2014_x86_64'],
  arm64: ['manylinux_2_28_aarch64', 'manylinux_2_27_aarch64', 'manylinux2014_aarch64'] };

/** pip's flags for Lambda on each architecture. All is pinned: --no-deps, as pip's markers are always the host's. */
const CROSS_INSTALL = Object.fromEntries(Object.entries(WHEELS).map(([architecture, platforms]) => [architecture, [
  ...platforms.map((name) => `--platform ${name}`), '--implementation cp', '--python-version 3.13',
  '--only-binary :all:', '--no-deps', '--no-compile', '--disable-pip-version-check', '--no-warn-conflicts', '--quiet']]));

/** The service's functions by their architecture. */
function architectures(service) {
  const found = {};
  for (const each of Object.values(service.functions ?? {})) {
    (found[each.architecture ?? service.provider?.architecture ?? 'x86_64'] ??= []).push(each);
  }
  return found;
}

/** The folder with requirements-<architecture>.txt installed, made when there is none for its content. */
async function install(python, folder, architecture) {
  const requirements = path.join(folder, `requirements-${architecture}.txt`);
  const digest = crypto.createHash('sha256').update(fs.readFileSync(requirements)).digest('hex').slice(0, 16);
  const target = path.join(folder, 'build', `installed-${architecture}-${digest}`);
  if (fs.existsSync(target)) return target;
  const partial = `${target}.partial`;
  fs.rmSync(partial, { recursive: true, force: true });
  const flags = CROSS_INSTALL[architecture].flatMap((flag) => flag.split(' '));
  await run(python, ['-m', 'pip', 'install', ...flags, '--target', partial, '--requirement', requirements],
    { maxBuffer: 1 << 26 });
  fs.copyFileSync(requirements, path.join(partial, 'requirements.txt'));
  fs.renameSync(partial, target);
  removeOthers(target);
  return target;
}

/** Earlier states of the requirements: each is 1.5 GB. */
function removeOthers(target) {
  const kind = path.basename(target).replace(/[^-]*$/, '');
  for (const name of fs.readdirSync(path.dirname(target))) {
    const other = name.startsWith(kind) && name !== path.basename(target);
    if (other) fs.rmSync(path.join(path.dirname(target), name), { recursive: true, force: true });
  }
}

module.exports = { architectures, CROSS_INSTALL, install, removeOthers };
