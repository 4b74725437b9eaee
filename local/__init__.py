"""The local Lambda: AWS's own runtime client in sandboxes, a gateway in front of them and moto's server as S3."""
