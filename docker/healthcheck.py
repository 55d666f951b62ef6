"""Healthy when both doors answer; a question for credentials is an answer too."""

import sys
import urllib.error
import urllib.request

for url in ("http://127.0.0.1:8042/system", "http://127.0.0.1:8043/farsight/"):
    try:
        urllib.request.urlopen(url, timeout=4).close()
    except urllib.error.HTTPError as answer:
        if answer.code != 401:
            sys.exit(f"{url}: {answer}")
    except OSError as error:
        sys.exit(f"{url}: {error}")
