"""Tokenizing and DICOM JSON of one series, cold and warm, in milliseconds.

    PYTHONPATH=plugin python benchmarks/reading.py [instances]

The series is made of pydicom's CT_small.dcm without its private elements: 512 x 512 pixels, and
per instance its own UIDs, number, position, times and window. Cold starts with an empty cache
of JSON fragments, warm converts the same series again.
"""

from __future__ import annotations

import io
import statistics
import sys
import time

import pydicom
from pydicom.data import get_testdata_file

from farsight.dicom.part10 import parse_object
from farsight.ps318.dicom_json import DicomJson
from farsight.ps318.frames import frame_bytes, frame_index

ROUNDS = 5


def series(instances: int) -> list[bytes]:
    data_set = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    data_set.remove_private_tags()
    data_set.Rows = data_set.Columns = 512
    data_set.PixelData = b"\1\2" * (512 * 512)
    files = []
    for number in range(instances):
        data_set.SOPInstanceUID = f"1.2.826.0.1.3680043.10.1.{number}"
        data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
        data_set.InstanceNumber = number + 1
        data_set.ImagePositionPatient = [-158.1, -179.0, -75.7 + 1.25 * number]
        data_set.SliceLocation = f"{-75.7 + 1.25 * number:.3f}"
        data_set.ContentTime = f"1129{number % 60:02d}.{number:06d}"
        data_set.WindowCenter = 40 + number % 7
        buffer = io.BytesIO()
        data_set.save_as(buffer)
        files.append(buffer.getvalue())
    return files


def timed_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1e3


def main(instances: int) -> None:
    files = series(instances)
    columns: dict[str, list[float]] = {"tokenize": [], "cold": [], "warm": [], "frames": []}
    for _ in range(ROUNDS):
        converter = DicomJson()
        started = time.perf_counter()
        parsed = [parse_object(data) for data in files]
        columns["tokenize"].append(timed_ms(started))
        for column in ("cold", "warm"):
            started = time.perf_counter()
            texts = [
                converter.encode(one, f"http://host/dicom-web/{one.sop_instance_uid}/bulkdata")
                for one in parsed
            ]
            columns[column].append(timed_ms(started))
        started = time.perf_counter()
        for one in parsed:
            frame_bytes(one, frame_index(one), 1)
        columns["frames"].append(timed_ms(started))
    kilobytes = sum(map(len, texts)) / 1000
    print(
        f"{instances} instances of {len(parsed[0].elements)} elements, {kilobytes:.0f} kB of JSON"
    )
    for column, values in columns.items():
        median = statistics.median(values)
        print(f"{column:9} {median:7.1f} ms  {median / instances:7.4f} ms per instance")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
