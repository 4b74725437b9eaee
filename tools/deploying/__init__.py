"""What `scripts/deploy_check` does with a stack: deploys it to a local AWS, runs what came out, and removes it."""
