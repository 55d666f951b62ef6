"""C-STORE on kept associations: what was refused when one was opened may be taken by now."""

from __future__ import annotations

from fakes.receiving_pacs import CT, EXPLICIT_LE, IMPLICIT_LE, receiving_pacs
from farsight.errors import UnsupportedDicom
from farsight.model import StoreReply

from .test_pacs_store_faults import JPEG, Heard, Instance, pacs_at, some

MR = "1.2.840.10008.5.1.4.1.1.4"
REFUSED = StoreReply(0x0122, "", "no presentation context accepted")


def test_a_class_that_is_taken_by_now() -> None:
    unknown = Instance("1.3.1", sop_class_uid=MR)
    with receiving_pacs() as peer:
        pacs = pacs_at(peer.port)
        heard = Heard()
        pacs.store([unknown], heard)
        pacs.store([*some(1), unknown, *some(1)], heard)
        taken = StoreReply(0, EXPLICIT_LE)
        assert heard.said == [REFUSED, taken, REFUSED, taken]
        peer.accept({CT: [EXPLICIT_LE], MR: [EXPLICIT_LE]})
        pacs.store([unknown], heard)
        assert heard.said[4:] == [taken]
        peer.accept({CT: [EXPLICIT_LE]})
        pacs.store([unknown], heard)
        assert heard.said[5:] == [taken], "a kept one that does is kept"
        pacs.close()


def test_an_encoding_that_is_taken_by_now() -> None:
    compressed = Instance("1.3.1", transfer_syntax_uid=JPEG, encodings=frozenset())
    plain = Instance("1.3.2", transfer_syntax_uid=JPEG)
    with receiving_pacs() as peer:
        pacs = pacs_at(peer.port)
        heard = Heard()
        pacs.store([plain, compressed], heard)
        assert heard.said[0] == StoreReply(0, EXPLICIT_LE)
        assert isinstance(heard.said[1], UnsupportedDicom)
        peer.accept({CT: [JPEG, EXPLICIT_LE, IMPLICIT_LE]})
        pacs.store([compressed], heard)
        assert heard.said[2] == StoreReply(0, JPEG)
        pacs.close()
