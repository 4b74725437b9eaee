'use strict';
// Puts packs into the deployment bucket, each once, before the functions that read them are updated.
//
// They lie beside the deployments, under <prefix>/<service>/<stage>/packs/<digest>: `serverless remove` empties that
// folder, and an earlier deployment that is rolled back to finds the pack that it was made with.

const crypto = require('crypto');
const fs = require('fs');
const path = require('path');

/** Upload what is in `folder` and not in the bucket yet. An object that is not the one we would put is replaced. */
async function putPacks(plugin, folder) {
  if (!fs.existsSync(folder)) return;
  const { serverless } = plugin;
  const provider = serverless.getProvider('aws');
  const deploy = serverless.pluginManager.plugins.find((each) => each.constructor.name === 'AwsDeploy');
  deploy.bucketName = await provider.getServerlessDeploymentBucketName();
  const place = `${provider.getDeploymentPrefix()}/${serverless.service.service}/${provider.getStage()}/packs`;
  const note = plugin.progress?.get('packs');
  for (const name of fs.readdirSync(folder)) {
    const filename = path.join(folder, name);
    const stored = await head(provider, deploy.bucketName, `${place}/${name}`);
    const { size } = fs.statSync(filename);
    if (stored?.ContentLength === size && stored.Metadata?.filesha256 === (await sha256(filename))) {
      plugin.log.notice(`TensorFlow's pack is in the bucket already (${name.slice(0, 12)})`);
      continue;
    }
    note?.update(`Uploading TensorFlow's pack (${(size / 1e6).toFixed(0)} MB, once for these requirements)`);
    await deploy.uploadZipFile({ filename, s3KeyDirname: place, basename: name });
    plugin.log.notice(`TensorFlow's pack was put into the bucket (${name.slice(0, 12)}, ${(size / 1e6).toFixed(1)} MB)`);
  }
  note?.remove();
}

/** What S3 knows of an object; undefined when there is none, or none that we may see. */
async function head(provider, Bucket, Key) {
  const { S3Client, HeadObjectCommand } = sdk();
  const client = new S3Client(await provider.getAwsSdkV3Config());
  try {
    return await client.send(new HeadObjectCommand({ Bucket, Key }));
  } catch (error) {
    if ([403, 404].includes(error.$metadata?.httpStatusCode)) return undefined;
    throw error;
  }
}

/** The framework's own SDK: this plugin has none. */
function sdk() {
  return require(require.resolve('@aws-sdk/client-s3', { paths: [require.main?.path ?? __dirname, __dirname] }));
}

/** As the framework writes it into the metadata of what it uploads. */
async function sha256(filename) {
  const hash = crypto.createHash('sha256');
  for await (const chunk of fs.createReadStream(filename)) hash.update(chunk);
  return hash.digest('base64');
}

module.exports = { putPacks };
