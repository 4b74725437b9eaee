"""An image classifier for AWS Lambda: everything but the entry points and the warm model."""
