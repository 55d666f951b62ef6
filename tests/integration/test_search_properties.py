"""Random searches before real PACS, beside a model of the standard's matching rules.

The archive and the queries come from fixed seeds, so that a run repeats; messages name what was
asked. Each PACS is searched by what it holds: dcmqrscp's index has no series descriptions, body
parts or SOP classes; pynetdicom's qrscp has nothing beyond the unique and required keys of PS3.4,
and answers without a character set, so that its names are ASCII. Orthanc gets it all. "Together"
is dcmqrscp and Orthanc behind one gateway, some studies in both, some stored in the gateway too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from pydicom.datadict import dictionary_VR

from orthanc_process import OrthancProcess, requires_orthanc
from pacs_peers import PEERS, requires_dcmtk
from search_model import (
    COUNTED,
    DATES,
    KEYWORDS,
    LEVELS,
    REQUIRED,
    UNIQUE_KEYS,
    Attributes,
    Row,
    make_archive,
    matching,
    rows_of,
    same_value,
    tag_of,
    text_of,
    write_file,
)

from .conftest import StartGateway, StartSite

pytestmark = [requires_orthanc]
SEED = 71
#: Studies in the archive and queries at each level. qrscp answers nothing in less than about 20 ms,
#: and a relational search asks it study by study.
SIZES = {"dcmqrscp": (40, 30), "orthanc": (40, 30), "qrscp": (12, 15), "together": (30, 25)}
#: An Orthanc that stops waits for the associations that idle.
PACS = {"IdleTimeout": 1}

ALL = frozenset(keyword for keywords in KEYWORDS for keyword in keywords)
HELD = {
    "orthanc": ALL,
    "dcmqrscp": ALL - {"SeriesDescription", "BodyPartExamined", "SOPClassUID"},
    "qrscp": frozenset(
        (
            *("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "StudyTime"),
            *("AccessionNumber", "StudyID", "SeriesInstanceUID", "Modality", "SeriesNumber"),
            *("SOPInstanceUID", "InstanceNumber", *COUNTED),
        )
    ),
}
HELD["together"] = HELD["dcmqrscp"]
#: A number of instances is told, not asked for.
NEVER_KEYS = {*COUNTED} - {"ModalitiesInStudy"}
#: Ends of ranges: what is in the archive where nothing is open about it, and what isn't.
ENDS = {
    "DA": (*DATES[1:], "18991231", "20200215", "20991231"),
    "TM": ("000000", "081500", "101500", "120100", "235959", "070000", "101501", "130000"),
}


@dataclass(frozen=True)
class Scene:
    """A gateway and what stands behind it."""

    kind: str
    gateway: OrthancProcess
    rows: tuple[list[Row], ...]


@dataclass(frozen=True)
class Query:
    """level: index of LEVELS. above: how many UIDs the path names."""

    level: int
    above: int
    path: str
    keys: tuple[tuple[str, str], ...]
    included: tuple[str, ...] = ()
    parameters: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("dcmqrscp", marks=requires_dcmtk),
        "orthanc",
        "qrscp",
        pytest.param("together", marks=requires_dcmtk),
    ],
)
def scene(
    request: pytest.FixtureRequest,
    start_site: StartSite,
    start_gateway_for_module: StartGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    table = make_archive(Random(SEED), SIZES[request.param][0], latin=request.param != "qrscp")
    rows = tuple(rows_of(table, level) for level in range(3))
    directory = tmp_path_factory.mktemp("files")
    files = [write_file(directory, instance) for instance in table]
    if request.param != "together":
        yield Scene(request.param, start_site(request.param, files, pacs=PACS).gateway, rows)
        return
    third = len(files) // 3
    first, second = tmp_path_factory.mktemp("pacs") / "one", tmp_path_factory.mktemp("pacs") / "two"
    with (
        PEERS["dcmqrscp"](first, _whole_studies(files, table, 0, 2 * third)) as one,
        PEERS["orthanc"](second, _whole_studies(files, table, third, len(files))) as two,
    ):
        both = {"Pacs": {"pacs": PACS, "other": PACS}}
        gateway = start_gateway_for_module(one.port, other_pacs_port=two.port, farsight=both)
        for file in _whole_studies(files, table, third // 2, 3 * third // 2):
            gateway.store(file.read_bytes())
        yield Scene("together", gateway, rows)


def _whole_studies(
    files: Sequence[Path], table: Sequence[Attributes], start: int, stop: int
) -> list[Path]:
    """Files of the studies that the instances from start to stop belong to."""
    studies = {instance["StudyInstanceUID"] for instance in table[start:stop]}
    pairs = zip(files, table, strict=True)
    return [file for file, instance in pairs if instance["StudyInstanceUID"] in studies]


def random_query(random: Random, scene: Scene, level: int, *, repeat: bool) -> Query:
    """Most keys fit one row of the archive, so that most answers aren't empty."""
    row = random.choice(scene.rows[level])
    above = max(0, random.randint(-level, level))
    path = "".join(f"/{LEVELS[i]}/{row.attributes[UNIQUE_KEYS[i]]}" for i in range(above))
    reached = [k for keywords in KEYWORDS[: level + 1] for k in keywords if k in HELD[scene.kind]]
    askable = [k for k in reached if k not in NEVER_KEYS and k not in UNIQUE_KEYS[:above]]
    askable = [k for k in askable if row.attributes[k] or random.random() < 0.2]
    chosen = random.sample(askable, min(len(askable), random.choice((0, 1, 1, 2, 2, 3, 4))))
    keys = tuple((key, random_text(random, key, row, scene.rows[level])) for key in chosen)
    parameters = [(_spelled(random, k), one) for k, text in keys for one in _parts(k, text, repeat)]
    included = tuple(random.sample(reached, random.choice((0, 0, 1, 3))))
    if random.random() < 0.1:
        included = tuple(keyword for keyword in KEYWORDS[level] if keyword in reached)
        names = ["all"]
    else:
        names = [_spelled(random, keyword) for keyword in included]
    parameters += [("includefield", n) for n in (names if repeat else [",".join(names)]) if n]
    random.shuffle(parameters)
    return Query(level, above, f"{path}/{LEVELS[level]}", keys, included, parameters)


def _spelled(random: Random, keyword: str) -> str:
    return random.choice((keyword, keyword, tag_of(keyword), tag_of(keyword).lower()))


def _parts(keyword: str, text: str, repeat: bool) -> list[str]:
    """A list of UIDs is either one text with commas or the parameter repeated."""
    return text.split(",") if repeat and keyword in UNIQUE_KEYS else [text]


def random_text(random: Random, keyword: str, row: Row, rows: Sequence[Row]) -> str:
    """What to ask of an attribute; nine of ten times something that this row answers."""
    if random.random() < 0.08:
        return random.choice(("", "*"))
    other = random.choice(rows)
    value = (row if random.random() < 0.9 else other).attributes[keyword]
    vr = dictionary_VR(keyword)
    if vr in ENDS:
        return _random_range(random, vr, value)
    if keyword == "ModalitiesInStudy":
        asked = [random.choice(value.split(",")), random.choice(("CT", "SR", "XA"))]
        return ",".join(random.sample(asked, random.randint(1, 2)))
    if vr == "UI":
        others = [random.choice(rows).attributes[keyword] for _ in range(random.randint(0, 3))]
        return ",".join([value, *others, "1.2.3"][: random.randint(1, 5)])
    if vr == "IS" or not value:
        return value or "7"
    return _random_pattern(random, value, is_name=vr == "PN")


def _random_range(random: Random, vr: str, value: str) -> str:
    ends = sorted(random.sample(ENDS[vr], 2))
    if value in ENDS[vr]:
        ends = sorted((value, random.choice(ENDS[vr])))
    return random.choice((ends[0], "-".join(ends), "-".join(ends), ends[0] + "-", "-" + ends[1]))


def _random_pattern(random: Random, value: str, *, is_name: bool) -> str:
    """The value, its case changed, padded, cut, or with wildcards in place of some of it.

    Wildcards stand neither before nor behind a last "^": whether there is an empty component is
    left open.
    """
    start, stop = sorted(random.choices(range(len(value) + 1), k=2))
    kept = value.rstrip("^")
    start, stop = min(start, len(kept)), min(stop, len(kept))
    pattern = random.choice(
        (
            value,
            value.swapcase(),
            f"{value}^^" if is_name else f" {value} ",
            value[:stop] or value,
            *(f"{kept[:start]}*{kept[stop:]}", f"{kept[:stop]}*", f"*{kept[start:]}") * 2,
            "".join("?" if c > "~" or random.random() < 0.2 else c for c in kept),
        )
    )
    if is_name and random.random() < 0.4:
        pattern = random.choice((pattern.upper(), pattern.lower()))
    ends_open = is_name and pattern.rstrip("*?").endswith("^") and not pattern.endswith("^")
    return value if ends_open or set(pattern) <= set("*^ ") else pattern


def ask(door: str, query: Query, *more: tuple[str, str], fresh: bool = False) -> list[Any]:
    url = f"{door}/dicom-web{query.path}?{urlencode([*query.parameters, *more])}"
    headers = {"Cache-Control": "no-cache"} if fresh else {}
    answer = requests.get(url, headers=headers, timeout=60)
    assert answer.status_code == 200, f"{url}: {answer.status_code} {answer.text}"
    return list(answer.json())


def complaints(random: Random, scene: Scene, door: str, query: Query) -> list[str]:
    """What of the answers isn't as the model has it."""
    found = ask(door, query, fresh=random.random() < 0.3)
    uids = [text_of(row, UNIQUE_KEYS[query.level]) or "" for row in found]
    within = [r for r in scene.rows[query.level] if f"/{r.path}".startswith(_parent(query))]
    expected = {row.uid: row for row in matching(within, query.keys)}
    wrong = []
    if sorted(uids) != sorted(expected):
        missing, surplus = {*expected} - {*uids}, {*uids} - {*expected}
        wrong.append(f"{len(uids)} rows, missing {sorted(missing)}, too many {sorted(surplus)}")
    of_rows = [
        _row_complaints(scene, door, query, row, expected[uid])
        for uid, row in zip(uids, found, strict=True)
        if uid in expected
    ]
    wrong += next((some for some in of_rows if some), [])  # one row tells enough
    size = max(1, -(-len(uids) // random.randint(1, 4)))
    pages: list[str] = []
    for offset in range(0, len(uids) + 1, size):
        page = ask(door, query, ("limit", str(size)), ("offset", str(offset)))
        pages += [text_of(row, UNIQUE_KEYS[query.level]) or "" for row in page]
    if pages != uids:
        wrong.append(f"pages of {size} are {pages}, the whole is {uids}")
    return wrong


def _parent(query: Query) -> str:
    return query.path.rpartition("/")[0] + "/"


def _row_complaints(
    scene: Scene, door: str, query: Query, found: dict[str, Any], row: Row
) -> list[str]:
    levels = range(query.above, query.level + 1)  # PS3.18 10.6.3.3.2: of all, where none is named
    required = {tag for level in levels for tag in REQUIRED[level]}
    wrong = [f"{row.uid} lacks {tag}" for tag in sorted(required - found.keys())]
    url = f"{door}/dicom-web/{row.path}"
    if found.get("00081190", {}).get("Value") != [url]:
        wrong.append(f"{row.uid}: RetrieveURL is {found.get('00081190')}")
    told = {k for level in levels for k in KEYWORDS[level] if tag_of(k) in required}
    for keyword in (told | {*query.included} | {k for k, _ in query.keys}) & HELD[scene.kind]:
        truth, text = row.attributes[keyword], text_of(found, keyword)
        if not same_value(keyword, text or "", truth):
            wrong.append(f"{row.uid}: {keyword} is {text!r}, not {truth!r}")
    return wrong


@pytest.mark.parametrize("level", range(3), ids=LEVELS)
def test_answers_are_what_the_standard_says(scene: Scene, level: int) -> None:
    random = Random(SEED + level)
    doors = (scene.gateway.full_door_url, scene.gateway.url)
    wrong = []
    for number in range(SIZES[scene.kind][1]):
        full = random.random() < 0.6  # a repeated parameter counts there only
        query = random_query(random, scene, level, repeat=full)
        said = complaints(random, scene, doors[0 if full else 1], query)
        asked = f"#{number} {query.path}?{urlencode(query.parameters)}"
        wrong += [f"{asked} {query.keys}: {text}" for text in said]
    assert not wrong, f"seed {SEED + level}, {len(wrong)} complaints:\n" + "\n".join(wrong)
