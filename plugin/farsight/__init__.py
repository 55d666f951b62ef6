"""Farsight: DICOMweb in front, DIMSE behind, Orthanc's store between them."""

__version__ = "0.1.0"
