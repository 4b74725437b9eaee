"""Which objects in S3 are the model, and what they say."""
