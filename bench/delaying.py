"""A process that passes bytes on to a server, each later by half of a round trip's time.

python bench/delaying.py PORT MILLISECONDS    # prints its own port
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


async def passed_on(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, seconds: float
) -> None:
    """Pass on what comes, in its order, until the end."""
    loop, parts = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

    async def written() -> None:
        data = b"begun"
        while data:
            due, data = await parts.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            target.write(data)
            await target.drain()
        target.close()

    writing = asyncio.create_task(written())
    data = b"begun"
    with suppress(ConnectionError):
        while data:
            data = await source.read(65536)
            parts.put_nowait((loop.time() + seconds, data))
    with suppress(ConnectionError):
        await writing


async def serve(upstream: int, seconds: float) -> None:
    async def connected(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answers, asked = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(
            passed_on(reader, asked, seconds), passed_on(answers, writer, seconds)
        )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def delayed(url: str, milliseconds: float) -> Iterator[str]:
    """Give another URL of a server, which is so far away; at 0 ms its own."""
    if not milliseconds:
        yield url
        return
    command = [sys.executable, __file__, str(urlsplit(url).port), str(milliseconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


if __name__ == "__main__":
    port, round_trip_ms = int(sys.argv[1]), float(sys.argv[2])
    asyncio.run(serve(port, round_trip_ms / 2000))
