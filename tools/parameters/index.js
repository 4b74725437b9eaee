'use strict';
// Checks every parameter before anything is packaged, and does with some what serverless.yml can't say itself.
//
// The check is in the constructor: plugins are made before the framework resolves `${param:...}`, whose own errors would
// come first, and would not name the parameter. `${given:name}` is a parameter for which `none` means nothing at all.

const { execFileSync } = require('child_process');
const path = require('path');
const { PARAMETERS } = require('./list');
const { remarks } = require('./buckets');
const { NONE, problems } = require('./check');
const { pairs } = require('./kinds');
const { unheard } = require('./provider');

const CHECKED = ['package', 'deploy', 'deploy function', 'print'];
const MOST_INLINE = 50 * 1024 * 1024; // https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html

class ParametersPlugin {
  constructor(serverless, options, { log } = {}) {
    this.serverless = serverless;
    this.log = log;
    this.configuration = serverless.configurationInput;
    this.given = this.read();
    if (CHECKED.includes(serverless.processedInput.commands.join(' '))) this.check();
    this.configurationVariablesSources = { given: { resolve: async ({ address, resolveVariable }) =>
      ({ value: meant(address, await resolveVariable(`param:${address}, null`)) }) } };
    this.hooks = {
      initialize: () => this.apply(),
      'before:deploy:function:deploy': () => this.expectSmall(),
      'after:deploy:deploy': () => this.tell(),
    };
  }

  get stage() { return this.serverless.processedInput.options.stage ?? this.configuration.provider.stage ?? 'dev'; }
  get region() { return this.serverless.processedInput.options.region ?? this.configuration.provider.region; }

  /** Values by name: the command line's before the stage's before the defaults. */
  read() {
    const all = this.configuration.params ?? {};
    const given = { ...all.default, ...all[this.stage] };
    for (const one of this.serverless.processedInput.options.param ?? []) {
      const at = one.indexOf('=');
      given[at < 0 ? one : one.slice(0, at)] = at < 0 ? '' : one.slice(at + 1).trimEnd();
    }
    return given;
  }

  /** Names that are given for this command only. */
  once() {
    return (this.serverless.processedInput.options.param ?? []).map((one) => one.split('=')[0]);
  }

  check() {
    const { service, provider, functions } = this.configuration;
    const written = [...Object.keys(this.configuration.params?.[this.stage] ?? {}), ...this.once()];
    const place = { service, stage: this.stage, region: this.region, functions: Object.keys(functions ?? {}), written };
    const found = [...problems(this.given, place, (variables) => this.settingsProblems(variables)), ...unheard({ provider, functions })];
    if (found.length) throw this.error(`${found.length === 1 ? 'A parameter is wrong' : `${found.length} things are wrong`}:\n- ${found.join('\n- ')}`);
  }

  settingsProblems(variables) {
    const script = path.join(__dirname, 'settings.py');
    const own = path.join(this.serverless.serviceDir, '.venv', process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
    for (const python of [process.env.PACK_PYTHON, own, 'python3.13', 'python3', 'python'].filter(Boolean)) {
      try {
        return JSON.parse(execFileSync(python, [script], { input: JSON.stringify(variables), stdio: ['pipe', 'pipe', 'ignore'] }));
      } catch {
        // not there, or too old to read the settings: the next
      }
    }
    return [`${Object.keys(variables).join(', ')} can't be checked: no Python 3.13 was found (PACK_PYTHON names one)`];
  }

  /** What a template can't do with values: lists and maps that grow, and names of variables that nobody wrote down. */
  apply() {
    const { service } = this.serverless;
    const { provider } = service;
    const given = this.read(); // variables in the values are resolved by now
    for (const [name, value] of Object.entries(given)) {
      if (/^[A-Z]/.test(name)) (provider.environment ??= {})[name] = value === NONE ? '' : String(value);
    }
    provider.stackTags = { ...pairs(meant('tags', given.tags) ?? {}), ...provider.stackTags };
    if (meant('deploymentBucket', given.deploymentBucket)) provider.deploymentBucket = given.deploymentBucket;
    const roles = new Set(Object.values(service.functions ?? {}).map((one) => one.role));
    for (const [name, resource] of Object.entries(service.resources?.Resources ?? {})) {
      if (roles.has(name)) resource.Properties.Policies[0].PolicyDocument.Statement.push(...meant('statements', given.statements) ?? []);
    }
  }

  /** What the next deployment forgets; and of buckets that were there before: what will be missed later. */
  async tell() {
    const given = this.read();
    const once = this.once();
    if (once.length) {
      this.log.warning(`--param holds for this deployment only: the next one without it goes back. To keep ${once.join(', ')}, write ${once.length === 1 ? 'it' : 'them'} under params.${this.stage} in serverless.yml`);
    }
    const [modelBucket, imageBucket] = ['modelBucket', 'imageBucket'].map((name) => meant(name, given[name]));
    if (!modelBucket && !imageBucket) return;
    const about = { modelBucket, imageBucket, region: this.region, bulkQueue: String(given.bulkQueue) === 'true', capture: meant('capture', given.capture) !== 'off' };
    for (const remark of await remarks(this.serverless.getProvider('aws'), about)) this.log.warning(remark);
  }

  /** `deploy function` sends the zip in its request. */
  expectSmall() {
    const { service } = this.serverless;
    const artifact = service.package.artifact ?? Object.values(service.functions).map((one) => one.package?.artifact).find(Boolean);
    const bytes = artifact ? require('fs').statSync(path.resolve(this.serverless.serviceDir, artifact)).size : 0;
    if (bytes > MOST_INLINE) {
      throw this.error(`deploy function sends the package inline, of which Lambda takes 50 MB, and this one has ${(bytes / 1e6).toFixed(1)}: use \`serverless deploy\``);
    }
  }

  error(text) {
    return new this.serverless.classes.Error(text, 'WRONG_PARAMETERS');
  }
}

/** The value, where `none` is nothing: null, or an empty text. */
function meant(name, value) {
  return value === NONE ? PARAMETERS[name].empty ?? null : value ?? null;
}

module.exports = ParametersPlugin;
