"""The demonstration: sample studies, a PACS that holds them, Orthanc with Farsight before it."""
