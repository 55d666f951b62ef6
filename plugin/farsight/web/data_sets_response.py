"""Data sets without pixels as a client wants them: JSON, or a part of XML each."""

from __future__ import annotations

import json

from farsight.ps318.dicom_xml import native_dicom_model
from farsight.ps318.media_type import Offer
from farsight.ps318.multipart_related import Part, RelatedBody, new_boundary
from farsight.web.messages import Response


def data_sets_response(offer: Offer, array: bytes) -> Response:
    """`array`: the data sets as one JSON array.

    Without any there is no multipart: 204 (PS3.18 table 10.6.3-1).
    """
    if not offer.multipart:
        return Response(200, (("Content-Type", offer.media_type),), array)
    headers = (("Content-Type", offer.media_type),)
    parts = [Part(headers, native_dicom_model(row)) for row in json.loads(array)]
    if not parts:
        return Response(204)
    body = RelatedBody(offer.media_type, new_boundary(), parts)
    return Response(200, (("Content-Type", body.content_type),), body)
