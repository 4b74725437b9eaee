"""Many pictures that lie in S3, without a caller who waits: queues of S3's events, and batches of a list.

Whoever asks for one picture imports nothing of this.
"""
