"""DIMSE (PS3.7) and the upper layer (PS3.8), sans-io: bytes in, values out."""
