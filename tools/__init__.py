"""What makes and proves the product, and never ships with it."""
