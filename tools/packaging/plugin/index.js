'use strict';
// Comes between serverless-python-requirements and the zip, and runs our packer (tools/packaging/packer, Python).
//
// serverless-python-requirements stays the installer, with its caches. Before it works, this plugin gives it a Python
// 3.13 with pip and the flags for Lambda's platform; after it has installed, this plugin takes the installed folder
// away from its injector (which would deflate everything again, in one thread of JavaScript) and lets the packer write
// the final zip in place of the framework's, which then holds our own code only. Functions of another architecture get
// a package of their own. What the packer leaves beside the zip, deploying puts into the bucket (bucket.js).
//
// custom.packer: { level: quick | release, python: <path>, pack: bucket | package }; PACK_LEVEL and PACK_PYTHON in the
// environment win.

const fs = require('fs');
const path = require('path');
const { spawn } = require('child_process');
const { architectures, CROSS_INSTALL, install } = require('./install');
const { findPython } = require('./python');
const { putPacks } = require('./bucket');

const DEFAULT_EPHEMERAL_MB = 512; // Lambda's own default
const MACHINES = { x86_64: 'x86_64', arm64: 'aarch64' }; // Lambda's name, uname's

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
      'after:deploy:function:packageFunction': () => this.pack({ inline: true }),
      // Also when nothing else has changed: a pack that went missing comes back.
      'after:aws:deploy:deploy:checkForChanges': () => putPacks(this, this.packs),
      'before:deploy:function:deploy': () => putPacks(this, this.packs),
    };
    const hooks = serverless.configSchemaHandler;
    hooks?.defineCustomProperties?.({
      type: 'object',
      properties: {
        packer: {
          type: 'object',
          properties: {
            level: { enum: ['quick', 'release'] },
            pack: { enum: ['bucket', 'package'] },
            python: { type: 'string' },
          },
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
  get packs() { return path.join(this.folder, '.serverless', 'packs'); }

  /** Give serverless-python-requirements our Python and, unless serverless.yml has its own, the flags for Lambda. */
  async prepare() {
    if (this.serverless.service.package.individually) {
      throw this.error('package.individually is not supported: functions of one architecture share one package');
    }
    this.python = await findPython(this.folder, process.env.PACK_PYTHON || this.settings.python);
    const custom = (this.serverless.service.custom ??= {});
    // Each state of requirements.txt is 1.5 GB in the other plugin's cache, which keeps all of them unless told.
    custom.pythonRequirements = { pipCmdExtraArgs: CROSS_INSTALL.x86_64, staticCacheMaxVersions: 3, ...custom.pythonRequirements,
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

  /** Turn the framework's zip of our own code into the package, and into one for each further architecture. */
  async pack({ inline = false } = {}) {
    const artifact = this.artifact();
    const note = this.progress?.get('packer');
    fs.rmSync(this.packs, { recursive: true, force: true });
    try {
      const byArchitecture = architectures(this.serverless.service);
      for (const [architecture, functions] of Object.entries(byArchitecture)) {
        if (architecture === 'x86_64') continue;
        const output = artifact.replace(/\.zip$/, `-${architecture}.zip`);
        note?.update(`Installing for ${architecture}`);
        const installed = await install(this.python, this.folder, architecture);
        await this.build(note, { architecture, installed, artifact, output, functions, inline });
        // Relative, as `deploy --package` may run in another place than `package`.
        const relative = path.relative(this.folder, output);
        for (const each of functions) each.package = { ...each.package, individually: true, artifact: relative };
      }
      // The last one, as it takes the place of the framework's zip.
      const rest = byArchitecture.x86_64 ?? [];
      await this.build(note, { architecture: 'x86_64', installed: this.installed, artifact, output: artifact,
        functions: rest, inline });
    } finally {
      note?.remove();
      fs.rmSync(this.installedLink, { recursive: true, force: true });
    }
  }

  async build(note, { architecture, installed, artifact, output, functions, inline }) {
    note?.update(`Packing TensorFlow (level ${this.level}, ${architecture})`);
    const report = architecture === 'x86_64' ? 'package-report.json' : `package-report-${architecture}.json`;
    const apart = this.settings.pack === 'package' ? [] : ['--packs', this.packs];
    await this.run(note, ['-m', 'tools.packaging.packer', '--installed', installed, '--service-zip', artifact, '--output', output,
      '--work', this.work, '--level', this.level, '--ephemeral-mb', String(this.ephemeralMb(functions)),
      '--machine', MACHINES[architecture], '--report', report, ...apart]);
    const found = JSON.parse(fs.readFileSync(path.join(this.work, report), 'utf8'));
    const mb = (bytes) => (bytes / 1e6).toFixed(1);
    this.log.notice(`Packed for ${architecture}: ${mb(found.unzipped_bytes)} of ${mb(found.limit_bytes)} MB unzipped, ` +
      `${mb(found.package_bytes)} MB zipped${apart.length ? `, ${mb(found.pack.bytes)} MB for the bucket` : ''} ` +
      `(build/${report})`);
    if (found.check.skipped) this.log.notice(`Not checked whether it works: ${found.check.skipped}`);
    if (inline && !found.direct_upload) {
      throw this.error(`"deploy function" sends the package inline, at most 50 MB, and this one has ` +
        `${mb(found.package_bytes)} MB: run "serverless deploy", or leave out "--param pack=package"`);
    }
  }

  artifact() {
    const service = this.serverless.service;
    const ofFunctions = Object.values(service.functions ?? {}).map((each) => each.package?.artifact);
    const found = service.package.artifact ?? ofFunctions.find(Boolean);
    if (!found) throw this.error('the framework made no zip to put the dependencies into');
    return path.resolve(this.folder, found);
  }

  /** The smallest /tmp of the functions that may unpack the pack. */
  ephemeralMb(functions) {
    const sizes = functions.map((each) => each.ephemeralStorageSize ?? DEFAULT_EPHEMERAL_MB);
    return Math.min(...(sizes.length ? sizes : [DEFAULT_EPHEMERAL_MB]));
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
