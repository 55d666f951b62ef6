"""The ports made real: a PACS over DIMSE, Orthanc as archive, the memory tier."""
