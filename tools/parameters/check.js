'use strict';
// What is wrong with the parameters of a deployment, one sentence each, all at once.

const { PARAMETERS, RENAMED, SET_BY } = require('./list');

const NONE = 'none';
const SETTING = /^[A-Z][A-Z0-9_]*$/;
const LONGEST_NAME = 64; // of a function
const LIKE_PROD = /^(prod|production|prd|live)([-\d].*)?$/i;

/** Whether `value` is what the parameter is when nobody sets it. */
function isUnset(name, value) {
  const { unset } = PARAMETERS[name];
  const same = typeof value === 'object' ? JSON.stringify(value) === JSON.stringify(unset) : String(value) === String(unset);
  return value == null || value === NONE || same;
}

/**
 * One sentence about each thing that is wrong with `given`: values by name, the command line's before the stage's before the defaults.
 *
 * `place` is { service, stage, region, functions, written }, the last what is given beside the defaults; `settings` says what is wrong with variables of the settings table.
 */
function problems(given, place, settings = () => []) {
  const found = [];
  const variables = {};
  for (const [name, value] of Object.entries(given)) {
    const known = PARAMETERS[name];
    if (unresolved(value)) continue;
    if (SETTING.test(name)) variables[name] = value === NONE ? '' : String(value);
    else if (!known) found.push(unknown(name, value));
    else if (value === '') found.push(`${name} is empty: write ${name}=${NONE}`);
    else if (!isUnset(name, value)) found.push(...wrong(name, value, known), ...companions(name, value, known, given));
  }
  for (const name of Object.keys(variables).filter((each) => each in SET_BY)) {
    found.push(SET_BY[name] ? `${name} is what the parameter ${SET_BY[name]} sets: give that` : `${name} is the stack's own: other parts of it count on it`);
    delete variables[name];
  }
  return [...found, ...(Object.keys(variables).length ? settings(variables) : []), ...together(given, place)];
}

function unresolved(value) {
  return typeof value === 'string' && value.includes('${');
}

function unknown(name, value) {
  if (RENAMED[name]) return `${name} is called ${RENAMED[name]} now: write ${RENAMED[name]}=${value}`;
  const near = nearest(name, [...Object.keys(PARAMETERS), ...Object.keys(RENAMED)]);
  if (!near) return `there is no parameter ${name}: serverless.yml lists them under params`;
  return `there is no parameter ${name}: the nearest is ${RENAMED[near] ?? near}`;
}

function wrong(name, value, { kind }) {
  const isText = typeof value !== 'object';
  if (kind.fits(isText ? String(value) : value)) return [];
  const meant = kind.values?.find((each) => each.toLowerCase() === String(value).toLowerCase());
  const shown = isText ? value : JSON.stringify(value);
  return [`${name}=${shown}: expected ${meant ? `${meant}, written so` : kind.expected}`];
}

function companions(name, value, { needs = [], brings = {} }, given) {
  const found = (brings[value] ?? []).filter((other) => isUnset(other, given[other]))
    .map((other) => `${name}=${value} needs ${other}, which is not set`);
  const met = ([other, wanted]) => (wanted === true ? !isUnset(other, given[other]) : wanted.includes(effective(other, given)));
  for (const condition of needs.map(Object.entries).filter((each) => !each.some(met))) {
    const unset = condition.every(([, wanted]) => wanted === true);
    const named = condition.flatMap(([other, wanted]) => (wanted === true ? [other] : wanted.map((one) => `${other}=${one}`))).join(' or ');
    found.push(unset ? `${name} needs ${named}, which is not set` : `${name} does nothing without ${named}`);
  }
  return found;
}

function effective(name, given) {
  return String(given[name] ?? PARAMETERS[name].unset);
}

/** What no value says alone. */
function together(given, { service, stage, region, functions = [], written = [] }) {
  const found = [];
  const set = (name) => given[name] !== undefined && PARAMETERS[name] && !isUnset(name, given[name]) && !unresolved(given[name]);
  if (stage && !/^[a-zA-Z0-9-]+$/.test(stage)) found.push(`the stage ${stage}: expected letters, digits and hyphens`);
  if (stage !== 'prod' && LIKE_PROD.test(stage) && !written.includes('onRemove')) {
    found.push(`the stage ${stage} is not prod, so that its buckets would go with the stack (onRemove=Delete): call it prod, or write onRemove under params.${stage} in serverless.yml`);
  }
  const longest = functions.map((each) => `${service}-${stage}-${each}`).sort((a, b) => b.length - a.length)[0];
  if (longest?.length > LONGEST_NAME) {
    found.push(`the stage ${stage} is too long: ${longest} has ${longest.length} characters, and a function's name ${LONGEST_NAME} at most`);
  }
  if (set('webAcl') && set('requestsPerCaller')) {
    found.push('requestsPerCaller makes a web ACL and webAcl names one, but an API has only one: put the limit into yours');
  }
  const beside = ['certificate', 'alarmTopic', 'webAcl', ...set('modelBucket') ? [] : ['modelKey'], ...set('imageBucket') ? [] : ['imageKey']];
  for (const name of beside.filter(set)) {
    const at = String(given[name]).split(':')[3];
    if (at && region && at !== region) found.push(`${name} is in ${at}, but the stack in ${region}: it has to be there, too`);
  }
  if (set('provisioned') && set('concurrency') && Number(given.provisioned) > Number(given.concurrency)) {
    found.push(`provisioned=${given.provisioned} is more than concurrency=${given.concurrency} lets run`);
  }
  if (set('provisioned') && effective('keepWarm', given) === 'true') {
    found.push('keepWarm=true does nothing beside provisioned, whose executions are warm: leave one of them out');
  }
  if (effective('engine', given) === 'litert' && effective('pack', given) === 'package') {
    found.push('pack=package puts TensorFlow into the package, and engine=litert never loads it: leave pack=bucket, where only compile takes it from');
  }
  if (set('modelBucket') && given.modelBucket === given.imageBucket) found.push(...overlap(given, stage));
  if (given.corsOrigin === NONE && given.api === 'url-iam') {
    found.push('corsOrigin=none is not possible with api=url-iam, where Lambda answers preflights: give an origin of your own');
  }
  if (given.imagePrefix === NONE && effective('bulkQueue', given) === 'true') {
    found.push('imagePrefix=none makes every object a picture, results of bulkQueue as well: give a prefix');
  }
  for (const name of set('capture') ? ['imagePrefix', 'examples'] : []) {
    if ((name === 'imagePrefix' && given[name] === NONE) || String(given[name]).startsWith('captures/')) {
      found.push(`${name}=${given[name]} shows to callers what capture keeps under captures/: give another prefix`);
    }
  }
  return found;
}

/** Of one bucket for both: pictures among the models, or the other way round. */
function overlap(given, stage) {
  const [models, pictures] = ['modelPrefix', 'imagePrefix'].map((name) => effective(name, given).replace('${sls:stage}', stage));
  if (!models.startsWith(pictures) && !pictures.startsWith(models)) return [];
  return [`imagePrefix=${pictures} and modelPrefix=${models} lie in each other, in the one bucket ${given.modelBucket}: give prefixes side by side`];
}

/** The name with the fewest letters to change, if that is a slip and not another word. */
function nearest(name, names) {
  const measured = names.map((each) => [distance(name.toLowerCase(), each.toLowerCase()), each]).sort((a, b) => a[0] - b[0]);
  const [letters, best] = measured[0];
  return letters <= Math.max(1, name.length / 3) ? best : undefined;
}

/** Levenshtein's. */
function distance(one, other) {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (one[i - 1] === other[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[other.length];
}

module.exports = { NONE, nearest, problems };
