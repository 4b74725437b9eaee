"""Many pictures that lie in S3, without a caller who waits; whoever asks for one picture imports nothing of this."""
