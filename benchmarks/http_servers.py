"""HTTP server libraries for the full door, side by side: requests per second with `wrk`.

    python benchmarks/http_servers.py [--seconds 3] [--rounds 3]

Each server runs in a process of its own and answers a 512 KiB and a 2 kB body from memory, the
handler in a thread, as Farsight's handlers run. Rounds are interleaved; medians are printed.
`blocked`: how many 2 kB requests per second are still answered while 40 handlers wait.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

BODIES = {"/large": bytes(512 << 10), "/small": bytes(2000), "/wait": b"waited"}
SERVERS = ("cheroot", "waitress", "aiohttp", "uvicorn")


def handle(path: str) -> bytes:
    if path == "/wait":
        time.sleep(2)
    return BODIES[path]


def wsgi(environ: dict, start_response: object) -> list[bytes]:
    body = handle(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "x/y"), ("Content-Length", str(len(body)))])
    if len(body) <= 1 << 17:
        return [body]
    view = memoryview(body)
    return [bytes(view[o : o + (1 << 17)]) for o in range(0, len(body), 1 << 17)]


def serve(name: str, port: int) -> None:
    if name == "cheroot":
        from cheroot import wsgi as cheroot_wsgi

        cheroot_wsgi.Server(("127.0.0.1", port), wsgi, numthreads=64).start()
    elif name == "waitress":
        import waitress

        waitress.serve(wsgi, host="127.0.0.1", port=port, threads=64, _quiet=True)
    elif name == "aiohttp":
        asyncio.run(_serve_aiohttp(port))
    else:
        import uvicorn

        uvicorn.run(_asgi, host="127.0.0.1", port=port, log_level="error", access_log=False)


_POOL = ThreadPoolExecutor(64)


async def _serve_aiohttp(port: int) -> None:
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        loop = asyncio.get_running_loop()
        return web.Response(body=await loop.run_in_executor(_POOL, handle, request.path))

    app = web.Application()
    app.router.add_get("/{path}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def _asgi(scope: dict, _receive: object, send: object) -> None:
    if scope["type"] != "http":
        return
    loop = asyncio.get_running_loop()
    body = await loop.run_in_executor(_POOL, handle, scope["path"])
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def wrk(port: int, path: str, connections: int, seconds: int) -> float:
    threads = min(connections, 2)
    done = subprocess.run(
        ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", f"http://127.0.0.1:{port}{path}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    return float(found.group(1)) if found else 0.0


def blocked(port: int, seconds: int) -> float:
    import urllib.request

    url = f"http://127.0.0.1:{port}/wait"
    for _ in range(40):
        threading.Thread(target=lambda: urllib.request.urlopen(url).read(), daemon=True).start()
    time.sleep(0.3)
    return wrk(port, "/small", 4, min(seconds, 1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", nargs=2)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], int(options.serve[1]))
        return
    ports = {name: 18900 + number for number, name in enumerate(SERVERS)}
    running = [
        subprocess.Popen([sys.executable, __file__, "--serve", name, str(port)])
        for name, port in ports.items()
    ]
    try:
        time.sleep(3)
        print_table(ports, options)
    finally:
        for process in running:
            process.kill()


def print_table(ports: dict[str, int], options: argparse.Namespace) -> None:
    columns = [(path, count) for path in ("/large", "/small") for count in (1, 8, 32)]
    results: dict[tuple[str, object], list[float]] = {}
    for _ in range(options.rounds):
        for name, port in ports.items():
            for path, count in columns:
                rate = wrk(port, path, count, options.seconds)
                results.setdefault((name, (path, count)), []).append(rate)
            results.setdefault((name, "blocked"), []).append(blocked(port, options.seconds))
            time.sleep(2)
    heads = [f"{path[1:]} c{count}" for path, count in columns] + ["blocked"]
    print("| server | " + " | ".join(heads) + " |\n|---|" + "---:|" * len(heads))
    for name in ports:
        cells = [f"{statistics.median(results[name, key]):.0f}" for key in [*columns, "blocked"]]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
