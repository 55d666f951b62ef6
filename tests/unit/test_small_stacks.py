"""What Orthanc's own threads answer fits into their stacks of 100 kB.

Half of that is taken here; a stack that overflows ends the whole process, so it is another one.
"""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

from multi_frame import slice_bytes

_PROGRAM = """
import sys, threading
sys.path[:0] = {path!r}
from test_answers_at_once import ANY_FRAME, INSTANCE, Memory, Nobody, slice_object
from farsight.adapters.storage_area import Attachment, StorageArea
from farsight.ps318.resource_path import parse_resource_path
from farsight.web.handlers_retrieve import RetrieveHandler
from farsight.web.messages import Request
from farsight.web.routes import Router

handler = RetrieveHandler(Memory(slice_object()), Nobody(), "/d/")

def at_once(request):
    return handler.at_once(request, parse_resource_path("/" + request.path.removeprefix("/d/")))

router = Router({{"/d/": at_once}}, at_once={{"/d/": at_once}})
frame = "/d" + INSTANCE + "/frames/1"
LONG = "a" * 60_000
REQUESTS = [
    Request("GET", frame, headers=ANY_FRAME),
    Request("GET", "/d/" + "studies/" * 5_000),
    Request("GET", "/d/" + LONG),
    Request("GET", "/d" + INSTANCE + "/frames/" + "1," * 20_000),
    Request("GET", "/d" + INSTANCE + "/bulkdata/" + "a/" * 20_000),
    Request("GET", frame, headers={{"accept": "(" * 60_000}}),
    Request("GET", frame, headers={{"accept": '"' * 60_000}}),
    Request("GET", frame, headers={{"accept": "image/jpeg;" * 5_000}}),
    Request("GET", frame, headers={{"accept": ",".join(["a/b;q=0.5"] * 6_000)}}),
    Request("GET", frame, headers={{"accept": "text/html"}}),
    Request("GET", frame, headers={{**ANY_FRAME, "if-none-match": '"a",' * 20_000}}),
    Request("GET", frame, headers={{**ANY_FRAME, "range": "bytes=" + LONG}}),
    Request("GET", frame, query=(("accept", "a" * 30),) * 2_000, headers=ANY_FRAME),
    Request("GET", "/d" + INSTANCE + "/thumbnail", query=(("viewport", LONG),)),
]
answered = []
area, known = StorageArea({area!r}), Attachment({name!r}, {size})
area.open(known)

def work():
    for request in REQUESTS * 2:
        answered.append(router.at_once(request))
    file = area.open_at_hand(known)
    answered.append(file is None or file.read_at_hand(0, known.size))

threading.stack_size({stack})
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(len(answered), answered[0].status)
"""


def test_quick_answers_need_half_of_orthancs_stack(tmp_path: Path) -> None:
    path = [str(Path(__file__).parent), *sys.path]
    name, file = str(uuid.UUID(int=0xABCD << 112)), slice_bytes(1)
    stored = tmp_path / name[:2] / name[2:4] / name
    stored.parent.mkdir(parents=True)
    stored.write_bytes(file)
    program = _PROGRAM.format(
        path=path, stack=48 * 1024, area=str(tmp_path), name=name, size=len(file)
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["29", "200"]
