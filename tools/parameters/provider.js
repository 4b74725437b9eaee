'use strict';
// The framework's own settings for networks and roles, which our four roles would silently not follow.

const INSTEAD = {
  'provider.vpc': 'subnets and securityGroups, which give the roles their permission, too',
  'provider.iam.role.permissionsBoundary': 'permissionsBoundary',
  'provider.iam.role.path': 'rolePath',
  'provider.iam.role.statements': 'statements',
  'provider.iam.role.managedPolicies': 'statements',
  'provider.iam.role.name': undefined,
  'provider.iam.role.tags': 'tags',
  'provider.iam.role': undefined, // a role's ARN
  'provider.iamRoleStatements': 'statements',
  'provider.rolePermissionsBoundary': 'permissionsBoundary',
  'provider.iamManagedPolicies': 'statements',
  'provider.role': undefined,
  'provider.deploymentBucket.name': 'deploymentBucket',
  'provider.stackTags': undefined,
};

/** One sentence about each that is set in serverless.yml. */
function unheard(configuration) {
  const found = [];
  for (const [path, parameter] of Object.entries(INSTEAD)) {
    const value = path.split('.').reduce((inside, name) => inside?.[name], configuration);
    const isWhole = path === 'provider.iam.role' ? typeof value === 'string' : value != null;
    if (isWhole && path !== 'provider.stackTags') {
      found.push(`${path} is not read here: each function has a role of its own${parameter ? `. Give the parameter ${parameter}` : ''}`);
    }
  }
  for (const [name, one] of Object.entries(configuration.functions ?? {})) {
    if (one?.vpc) found.push(`functions.${name}.vpc is not read here: all functions are in one network. Give the parameters subnets and securityGroups`);
  }
  return found;
}

module.exports = { unheard };
