"""A quotes service for the demo: made-up prices in the shape of the real one, on the loopback only."""

import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

#: As long as a service that is somewhere else takes.
DELAY_S: Final = 0.03
LONGEST: Final = 1000


class Quotes:
    """Serves between ``start`` and ``stop``, from a thread of its own."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="demo-quotes", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/quotes"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def bars(symbol: str, count: int) -> list[dict[str, str]]:
    """Bars of a stock, oldest first; the same for the same symbol."""
    dice = random.Random(symbol)  # noqa: S311 - prices, not secrets
    price, made = dice.uniform(5, 50), []
    for n in range(count):
        open_, price = price, max(price * dice.uniform(0.98, 1.02), 0.01)
        high, low = max(open_, price) * 1.002, min(open_, price) * 0.998
        numbers = {"open": open_, "high": high, "low": low, "close": price}
        day = f"2026-11-{n % 20 + 1:02} 15:00:00"
        volume = str(dice.randrange(10_000, 3_000_000))
        made.append({"day": day, "volume": volume, **{key: f"{value:.3f}" for key, value in numbers.items()}})
    return made


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        symbol, count = query.get("symbol", [""])[0], query.get("datalen", ["1"])[0]
        time.sleep(DELAY_S)
        body = json.dumps(bars(symbol, min(int(count), LONGEST) if count.isdecimal() else 1)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""
