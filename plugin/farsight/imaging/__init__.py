"""Pixels: what a data set says about them, decoding, encoding, rendering. No I/O.

Only `picture`, `describe`, `jobs` and `syntaxes` are imported inside Orthanc; what decodes is run
by worker processes alone, for the data may be hostile and the codecs are not ours.
"""
