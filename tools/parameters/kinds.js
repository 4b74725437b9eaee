'use strict';
// Kinds of parameters: what is expected, as a sentence says it, and whether a text is that.

const PARTITION = 'aws(-cn|-us-gov|-eusc|-iso(-[bef])?)?';

const pattern = (expected, expression) => ({ expected, fits: (text) => new RegExp(`^(${expression})$`).test(text) });
const oneOf = (...values) => ({ expected: values.join(', ').replace(/, ([^,]*)$/, ' or $1'), fits: (text) => values.includes(text), values });
const whole = (least, most, unit = '') => ({
  expected: `a whole number from ${least} to ${most}${unit && ` (${unit})`}`,
  fits: (text) => /^\d{1,10}$/.test(text) && Number(text) >= least && Number(text) <= most,
});
const arn = (what, service, rest) => pattern(`the ARN of ${what}`, `arn:${PARTITION}:${service}:${rest}`);
const listOf = (expected, expression) => pattern(`${expected}, one or several with commas between`, `${expression}(,${expression})*`);

/** A name as S3 has them: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
const bucket = {
  expected: 'a bucket\'s name alone: 3 to 63 lower-case letters, digits, dots and hyphens, no s3:// and no ARN',
  fits: (text) => /^[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]$/.test(text) && !/^\d+\.\d+\.\d+\.\d+$/.test(text),
};
const prefix = {
  expected: 'a prefix that ends in a slash and begins with none, such as models/prod/',
  fits: (text) => /^[\w!.*'()-]+(\/[\w!.*'()-]+)*\/$/.test(text),
};
const origin = pattern('an origin such as https://pages.example, or *', '\\*|https?://[a-zA-Z0-9.-]+(:\\d{1,5})?');
const url = pattern('an https address', 'https://[a-zA-Z0-9.-]+(:\\d{1,5})?(/\\S*)?');
const domain = pattern('a name such as pictures.example.com', '(\\*\\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}');
const text = pattern('a word', '\\S+');

/** As classifier/setting_values.py reads CAPTURE; `off` is what it is when nobody sets it. */
const capture = {
  expected: 'off, a share above 0 and up to 1 such as 0.01, unsure, or both as 0.01,unsure',
  fits: (given) => {
    const words = given.split(',');
    const shares = words.filter((word) => word !== 'unsure');
    return shares.length <= 1 && words.length - shares.length <= 1 && shares.every((one) => /^(0?\.\d*[1-9]\d*|1(\.0+)?)$/.test(one));
  },
};

/** A list or a map, which is written in serverless.yml; tags may be one text, too. */
const statements = {
  expected: 'a list of IAM statements with Effect, Action and Resource, written under params in serverless.yml',
  fits: (value) => Array.isArray(value) && value.every((one) => one && ['Allow', 'Deny'].includes(one.Effect) && one.Action && one.Resource),
};
const tags = {
  expected: 'name=value pairs with commas between, or a map under params in serverless.yml; at most 48, none named aws:...',
  fits: (value) => {
    const given = Object.entries(pairs(value) ?? { '': '' });
    return given.length <= 48 && given.every(([name, each]) => /^(?!aws:)[\w .:/=+@-]{1,128}$/i.test(name) && /^[\w .:/=+@-]{0,256}$/.test(each));
  },
};

/** Tags as a map; undefined when the text is none. */
function pairs(value) {
  if (value && typeof value === 'object' && !Array.isArray(value)) return value;
  const parts = String(value).split(',').map((part) => part.match(/^\s*([^=]+?)\s*=(.*)$/));
  return parts.every(Boolean) ? Object.fromEntries(parts.map((part) => [part[1], part[2]])) : undefined;
}

module.exports = { arn, bucket, capture, domain, listOf, oneOf, origin, pairs, prefix, statements, tags, text, url, whole };
