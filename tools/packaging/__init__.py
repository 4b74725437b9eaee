"""How TensorFlow is made to fit: the packer and the framework's plugin."""
