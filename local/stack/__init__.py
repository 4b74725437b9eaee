"""LocalStack as a second AWS, whose functions run in the local Lambda's sandboxes."""
