"""DICOM data sets and files (PS3.5, PS3.10) read in place: bytes in, values out."""
