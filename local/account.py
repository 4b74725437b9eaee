"""The account and the region that everything here pretends to be in."""

ACCOUNT = "123456789012"
REGION = "us-east-1"
