"""Talking to S3."""
