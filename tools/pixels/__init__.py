"""Makes the arithmetic of `classifier/pictures/pipelines/`: two files of some kilobytes that LiteRT runs."""
