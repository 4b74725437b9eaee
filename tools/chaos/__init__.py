"""The fault campaign: good and hostile requests while S3, models, sandboxes and origins go wrong."""
