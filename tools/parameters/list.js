'use strict';
// Every parameter of serverless.yml: its kind, what it is when nobody sets it, and what it needs beside it.
//
// `unset` is the value under params.default (a test compares the two); `none` stands for it where nothing is meant.
// `needs` are conditions, each of which one parameter of it meets: by being set (true), or by one of the values. A parameter
// that would do nothing without its companion is refused rather than ignored: somebody counts on it.

const { arn, bucket, capture, domain, listOf, oneOf, origin, prefix, statements, tags, text, url, whole } = require('./kinds');

const switched = oneOf('true', 'false');
const keyArn = arn('a KMS key', 'kms', '[a-z0-9-]+:\\d{12}:key/[\\w-]+');
const HTTP = ['http', 'http-iam', 'http-jwt'];
const REST = ['rest', 'rest-key'];
const URL = ['url', 'url-iam'];
const THROTTLED = [...HTTP, 'rest-key']; // a REST API without keys has no plan that throttles
const bulk = [{ bulkQueue: ['true'], bulkMap: ['true'] }];

/** https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html */
const RETENTION = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 2192, 2557, 2922, 3288, 3653];

const PARAMETERS = {
  engine: { kind: oneOf('auto', 'tensorflow', 'litert'), unset: 'auto' },
  modelBucket: { kind: bucket, unset: null },
  imageBucket: { kind: bucket, unset: null },
  modelPrefix: { kind: prefix, unset: 'models/${sls:stage}/' },
  imagePrefix: { kind: prefix, unset: 'images/', empty: '' },
  examples: { kind: prefix, unset: 'none' },
  modelKey: { kind: keyArn, unset: 'none' },
  imageKey: { kind: keyArn, unset: 'none' },
  deploymentBucket: { kind: bucket, unset: null },
  architecture: { kind: oneOf('x86_64', 'arm64'), unset: 'x86_64' },
  pack: { kind: oneOf('bucket', 'package'), unset: 'bucket' },
  onRemove: { kind: oneOf('Delete', 'Retain'), unset: 'Delete' },
  memory: { kind: whole(128, 10240, 'MB'), unset: 2048 },
  compileMemory: { kind: whole(128, 10240, 'MB'), unset: 3008 },
  bulkMemory: { kind: whole(128, 10240, 'MB'), unset: 2048, needs: bulk },
  logDays: { kind: oneOf(...RETENTION.map(String)), unset: 30 },
  concurrency: { kind: whole(1, 100000), unset: null },
  compileConcurrency: { kind: whole(1, 100000), unset: null },
  provisioned: { kind: whole(1, 100000), unset: null },
  keepWarm: { kind: switched, unset: false },
  tracing: { kind: oneOf('PassThrough', 'Active'), unset: 'PassThrough' },
  api: {
    kind: oneOf(...HTTP, ...REST, ...URL),
    unset: 'http',
    brings: { 'http-jwt': ['jwtIssuer', 'jwtAudience'] },
  },
  jwtIssuer: { kind: url, unset: 'https://issuer.invalid/', needs: [{ api: ['http-jwt'] }] },
  jwtAudience: { kind: text, unset: 'none', needs: [{ api: ['http-jwt'] }] },
  requestsPerSecond: { kind: whole(1, 10000), unset: 100, needs: [{ api: THROTTLED }] },
  burst: { kind: whole(1, 5000), unset: 200, needs: [{ api: THROTTLED }] },
  requestsPerCaller: { kind: whole(10, 2000000000), unset: 'none', needs: [{ api: REST }] },
  webAcl: { kind: arn('a regional web ACL', 'wafv2', '[a-z0-9-]+:\\d{12}:regional/webacl/[\\w-]+/[\\w-]+'), unset: 'none', needs: [{ api: REST }] },
  corsOrigin: { kind: origin, unset: '*', empty: '' },
  domain: { kind: domain, unset: 'none', needs: [{ certificate: true }, { api: [...HTTP, ...REST] }] },
  certificate: {
    kind: arn('an ACM certificate', 'acm', '[a-z0-9-]+:\\d{12}:certificate/[\\w-]+'),
    unset: 'arn:aws:acm:us-east-1:000000000000:certificate/none',
    needs: [{ domain: true }],
  },
  disableDefaultEndpoint: { kind: switched, unset: false, needs: [{ domain: true }] },
  subnets: { kind: listOf('ids of subnets', 'subnet-[0-9a-f]{8,17}'), unset: 'none', needs: [{ securityGroups: true }] },
  securityGroups: { kind: listOf('ids of security groups', 'sg-[0-9a-f]{8,17}'), unset: 'none', needs: [{ subnets: true }] },
  permissionsBoundary: { kind: arn('an IAM policy', 'iam', ':(\\d{12}|aws):policy/[\\w+=,.@/-]+'), unset: 'none' },
  rolePath: { kind: { expected: 'a path such as /teams/vision/', fits: (path) => /^\/([\w+=,.@-]+\/)*$/.test(path) }, unset: '/' },
  statements: { kind: statements, unset: [] },
  tags: { kind: tags, unset: {} },
  bulkQueue: { kind: switched, unset: false },
  bulkMap: { kind: switched, unset: false },
  bulkConcurrency: { kind: whole(2, 1000), unset: 5, needs: bulk },
  capture: { kind: capture, unset: 'off' },
  captureDays: { kind: whole(1, 3650, 'days'), unset: 30, needs: [{ capture: true }] },
  canaryAlarm: { kind: whole(1, 1000000, 'errors in a minute'), unset: 0 },
  alarmTopic: { kind: arn('an SNS topic', 'sns', '[a-z0-9-]+:\\d{12}:[\\w-]+(\\.fifo)?'), unset: 'none' },
  slowMs: { kind: whole(1, 900000, 'milliseconds'), unset: 5000, needs: [{ alarmTopic: true }] },
};

/** Names that parameters had, and have no more. */
const RENAMED = { door: 'api' };

/** Variables of the settings table that serverless.yml sets, with the parameter for it; others are given as they are. */
const SET_BY = {
  MODEL_BUCKET: 'modelBucket', MODEL_PREFIX: 'modelPrefix', IMAGE_BUCKET: 'imageBucket', IMAGE_PREFIX: 'imagePrefix',
  EXAMPLES_PREFIX: 'examples', ENGINE: 'engine', CAPTURE: 'capture', PACK_BUCKET: 'deploymentBucket', PACK_PREFIX: null, CORS_ALLOW_ORIGIN: 'corsOrigin', METRIC_NAMESPACE: null,
};

module.exports = { PARAMETERS, RENAMED, SET_BY };
