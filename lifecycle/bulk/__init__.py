"""Classifying every picture under a prefix from one machine, each exactly once, however often it is stopped.

`classify_all` is the verb. A `Plan` fixes which pictures, in which order, cut into parts; a `Crew` of worker processes
classifies parts; each finished part is written once and for all into a `Folder`; `results` joins them.
"""
