'use strict';
// Comes between serverless-python-requirements and the zip, and runs our packer (tools/packaging/packer, Python).
//
// serverless-python-requirements stays the installer, with its caches. Before it works, this plugin gives it a Python
// 3.13 with pip and the flags for Lambda's platform; after it has installed, this plugin takes the installed folder
// away from its injector (which would deflate everything again, in one thread of JavaScript) and lets the packer write
// the final zip in place of the framework's, which then holds our own code only.
//
// custom.packer: { level: quick | release, python: <path> }; PACK_LEVEL and PACK_PYTHON in the environment win.

const fs = require('fs');
const path = require('path');
const { spawn } = require('child_process');
const { findPython } = require('./python');

const CROSS_INSTALL = ['--platform manylinux_2_28_x86_64', '--platform manylinux_2_27_x86_64',
  '--platform manylinux2014_x86_64', '--implementation cp', '--python-version 3.13', '--only-binary :all:',
  '--no-compile', '--disable-pip-version-check', '--no-warn-conflicts', '--quiet'];
const DEFAULT_EPHEMERAL_MB = 512; // Lambda's own default

class PackerPlugin {
  constructor(serverless, options, { log, progress } = {}) {
    this.serverless = serverless;
    this.log = log ?? { notice: (text) => serverless.cli.log(text) };
    this.progress = progress;
    // The other plugin's hooks on the same events run first, as it stands first in serverless.yml.
    this.hooks = {
      'before:package:cleanup': () => this.prepare(),
      'before:package:createDeploymentArtifacts': () => this.takeInstalled(),
      'after:package:createDeploymentArtifacts': () => this.pack(),
      'before:deploy:function:initialize': () => this.prepare(),
      'before:deploy:function:packageFunction': () => this.takeInstalled(),
      'after:deploy:function:packageFunction': () => this.pack(),
    };
    const hooks = serverless.configSchemaHandler;
    hooks?.defineCustomProperties?.({
      type: 'object',
      properties: {
        packer: {
          type: 'object',
          properties: { level: { enum: ['quick', 'release'] }, python: { type: 'string' } },
          additionalProperties: false,
        },
      },
    });
  }

  get folder() { return this.serverless.serviceDir ?? this.serverless.config.servicePath; }
  get settings() { return this.serverless.service.custom?.packer ?? {}; }
  get level() { return process.env.PACK_LEVEL || this.settings.level || 'quick'; }
  get work() { return path.join(this.folder, 'build'); }
  get installedLink() { return path.join(this.folder, '.serverless', 'requirements'); }

  /** Give serverless-python-requirements our Python and, unless serverless.yml has its own, the flags for Lambda. */
  async prepare() {
    if (this.serverless.service.package.individually) {
      throw this.error('package.individually is not supported: all functions share one package');
    }
    this.python = await findPython(this.folder, process.env.PACK_PYTHON || this.settings.python);
    const custom = (this.serverless.service.custom ??= {});
    custom.pythonRequirements = { pipCmdExtraArgs: CROSS_INSTALL, ...custom.pythonRequirements,
      pythonBin: this.python, zip: false, slim: false, dockerizePip: false };
  }

  /** After the installation: put an empty folder where the injector looks, and remember the full one. */
  async takeInstalled() {
    const link = this.installedLink;
    await this.appears(link);
    if (fs.lstatSync(link).isSymbolicLink()) {
      this.installed = fs.realpathSync(link); // in the other plugin's cache
      fs.unlinkSync(link);
    } else {
      this.installed = `${link}-installed`; // useStaticCache: false
      fs.rmSync(this.installed, { recursive: true, force: true });
      fs.renameSync(link, this.installed);
    }
    fs.mkdirSync(this.installedLink);
  }

  /** The other plugin does not wait for the link that it makes. */
  async appears(link) {
    for (let tries = 0; tries < 200; tries += 1) {
      if (fs.lstatSync(link, { throwIfNoEntry: false })) return;
      await new Promise((resolve) => { setTimeout(resolve, 25); });
    }
    throw this.error(`serverless-python-requirements installed nothing: ${link} is missing`);
  }

  /** Turn the framework's zip of our own code into the package. */
  async pack() {
    const artifact = this.artifact();
    const note = this.progress?.get('packer');
    note?.update(`Packing TensorFlow (level ${this.level})`);
    try {
      await this.run(note, ['-m', 'tools.packaging.packer', '--installed', this.installed, '--service-zip', artifact, '--output', artifact,
        '--work', this.work, '--level', this.level, '--ephemeral-mb', String(this.ephemeralMb())]);
    } finally {
      note?.remove();
      fs.rmSync(this.installedLink, { recursive: true, force: true });
    }
    const report = JSON.parse(fs.readFileSync(path.join(this.work, 'package-report.json'), 'utf8'));
    const mb = (bytes) => (bytes / 1e6).toFixed(1);
    this.log.notice(`Packed: ${mb(report.unzipped_bytes)} of ${mb(report.limit_bytes)} MB unzipped, ` +
      `${mb(report.package_bytes)} MB zipped (build/package-report.json)`);
  }

  artifact() {
    const service = this.serverless.service;
    const ofFunctions = Object.values(service.functions ?? {}).map((each) => each.package?.artifact);
    const found = service.package.artifact ?? ofFunctions.find(Boolean);
    if (!found) throw this.error('the framework made no zip to put the dependencies into');
    return path.resolve(this.folder, found);
  }

  /** The smallest /tmp of the functions that may unpack the pack. */
  ephemeralMb() {
    const functions = Object.values(this.serverless.service.functions ?? {});
    return Math.min(...functions.map((each) => each.ephemeralStorageSize ?? DEFAULT_EPHEMERAL_MB));
  }

  run(note, args) {
    const env = { ...process.env, PYTHONPATH: this.folder };
    return new Promise((resolve, reject) => {
      const child = spawn(this.python, args, { cwd: this.folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
      const said = [];
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => said.push(text));
      child.stdout.on('data', (text) => note?.update(`Packing TensorFlow (level ${this.level}): done ${text}`.trim()));
      child.on('error', reject);
      child.on('close', (code) => {
        const text = Buffer.concat(said).toString();
        if (code === 0) {
          this.log.info?.(text);
          resolve();
        } else {
          reject(this.error(text));
        }
      });
    });
  }

  error(text) {
    return new this.serverless.classes.Error(`Packer: ${text}`, 'PACKER_FAILED');
  }
}

module.exports = PackerPlugin;
