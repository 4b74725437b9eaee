"""Whose pixels: what the decoders and resizes of TensorFlow and OpenCV make, by Pillow alone."""
