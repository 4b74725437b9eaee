'use strict';
// What can be seen, when deploying, of buckets that were there before: where they are, whose, and whether events come.

const SEE = 'docs/operate/deploy.md, "Buckets of your own"';

/** One sentence about each thing that will be missed later. */
async function remarks(provider, { modelBucket, imageBucket, region, bulkQueue, capture }) {
  const { S3Client, ...commands } = sdk();
  const client = new S3Client({ ...await provider.getAwsSdkV3Config(), followRegionRedirects: true });
  const ask = (name, input) => client.send(new commands[`${name}Command`](input));
  const account = await provider.getAccountId();
  const found = [];
  for (const [parameter, Bucket] of Object.entries({ modelBucket, imageBucket }).filter(([, name]) => name)) {
    const what = `${parameter} ${Bucket}`;
    const events = parameter === 'modelBucket' ? 'a model that is swapped by hand is compiled only when you start that' : 'bulkQueue sees no picture';
    const wanted = parameter === 'modelBucket' || bulkQueue;
    try {
      const { BucketRegion } = await ask('HeadBucket', { Bucket });
      if (BucketRegion && BucketRegion !== region && wanted) found.push(`${what} is in ${BucketRegion}, and its events don't reach ${region}: ${events} (${SEE})`);
      if (!await isOf(account, ask, Bucket)) found.push(`${what} is of another account: its policy has to allow the stack's roles, and ${events} (${SEE})`);
      const { EventBridgeConfiguration } = await ask('GetBucketNotificationConfiguration', { Bucket });
      if (!EventBridgeConfiguration && wanted) found.push(`${what} sends no events to EventBridge: ${events} (${SEE})`);
      const { Status } = await ask('GetBucketVersioning', { Bucket });
      if (Status !== 'Enabled' && parameter === 'modelBucket') found.push(`${what} keeps no versions: an older model can't serve while a newer one is broken, and rollback has less to go back to`);
      if (parameter === 'imageBucket' && capture && !await forgets(ask, Bucket)) {
        found.push(`${what} has no lifecycle rule for captures/: what capture keeps stays for ever (docs/operate/feedback.md)`);
      }
    } catch (error) {
      const status = error.$metadata?.httpStatusCode;
      if (status === undefined) throw error;
      found.push(status === 404 ? `${what} does not exist` : `${what} can't be looked at from here (${error.name}): if it is of another account or region, see ${SEE}`);
    }
  }
  return found;
}

/** Whether a rule deletes what lies under captures/. */
async function forgets(ask, Bucket) {
  try {
    const { Rules = [] } = await ask('GetBucketLifecycleConfiguration', { Bucket });
    return Rules.some(({ Status, Expiration, Prefix, Filter }) =>
      Status === 'Enabled' && (Expiration?.Days || Expiration?.Date) && 'captures/'.startsWith(Prefix ?? Filter?.Prefix ?? (Filter?.Tag || Filter?.And ? 'x' : '')));
  } catch (error) {
    if (error.name === 'NoSuchLifecycleConfiguration') return false;
    throw error;
  }
}

async function isOf(account, ask, Bucket) {
  try {
    await ask('HeadBucket', { Bucket, ExpectedBucketOwner: account });
    return true;
  } catch (error) {
    if (error.$metadata?.httpStatusCode === 403) return false;
    throw error;
  }
}

/** The framework's own SDK: this plugin has none. */
function sdk() {
  return require(require.resolve('@aws-sdk/client-s3', { paths: [require.main?.path ?? __dirname, __dirname] }));
}

module.exports = { remarks };
