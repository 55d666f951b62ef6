"""DICOMweb (PS3.18) as pure functions and values: no sockets, no Orthanc."""
