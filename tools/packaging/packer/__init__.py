"""The packer: from installed requirements to a package that fits Lambda's limits. See docs/internals/packaging.md."""
