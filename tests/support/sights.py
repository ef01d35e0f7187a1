"""A server worth looking at: real machines, jobs that end well and badly, logs, results that are pictures.

For browser tests and for the screenshots in the documentation.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tests.support import wait
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

RESIZE = """
import random, sys, time

def work(picture, width=640):
    print("\\x1b[32mopening\\x1b[0m", picture)
    time.sleep(random.uniform(0.05, 0.4))
    print("resizing to", width)
    return {"result": {"picture": picture, "width": width, "sizes": [width, width // 2, width // 4]}, "count": 3}
"""

CRAWL = """
import random, sys, time

def fetch(url):
    print("fetching", url)
    time.sleep(random.uniform(0.02, 0.2))
    if "broken" in url:
        print("no answer from", url, file=sys.stderr)
        raise ConnectionError("no route to host for " + url)
    return 200

def work(url, depth=1):
    status = fetch(url)
    return {"result": {"url": url, "status": status, "depth": depth}, "count": 1}
"""

HELD = """
import os, time

def work(until):
    while not os.path.exists(until):
        time.sleep(0.05)
    return {"result": "let go"}
"""

#: A picture of one pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

CHART = (
    f"PNG = {PNG!r}"
    """
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="60" onload="top.document.title=1">'
    '<script>top.document.title = "taken"</script><image href="http://127.0.0.1:9/seen"/>'
    '<rect width="90" height="60" fill="red"/></svg>'
)

def work(name):
    rows = "".join("<tr><td>%d</td><td>%d</td></tr>" % (n, n * n) for n in range(5))
    html = "<script>document.title='taken'</script><table><tr><th>n</th><th>square</th></tr>" + rows + "</table>"
    html += "<img src='http://127.0.0.1:9/seen' onerror=alert(3)><a href='javascript:alert(4)'>here</a>"
    html += "<style>@import 'http://127.0.0.1:9/style'</style><form action='http://127.0.0.1:9/'><button>go</button></form>"
    html += "<iframe src='http://127.0.0.1:9/'></iframe><meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>"
    display = {
        "image/svg+xml": SVG,
        "image/png": PNG,
        "text/html": html,
        "text/markdown": "# Squares of <b>" + name + "</b>\\n\\n| n | square |\\n|---|---|\\n| 3 | 9 |\\n",
        "text/csv": "n,square\\n2,4\\n<img src=x onerror=alert(1)>,=1+1\\n",
    }
    return {"result": {"name": name, "display": display}}
"""
)

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def furnish(hosts: Hosts, home: Path) -> str:
    """Two machines, one whose key nobody has accepted yet and one that is off; the inventory."""
    for name in ("lab-1", "lab-2"):
        hosts.start(name)
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(hosts.home / "known_hosts", home / "known_hosts")
    hosts.start("gpu-box")
    return hosts.inventory(limit_process=4) + "  attic: {host: 127.0.0.1, port: 9, user: nobody, tag: [crawl]}\n"


class Api:
    """The server's API with its admin token."""

    def __init__(self, server: RunningServer) -> None:
        self._url = f"{server.url}/api/v1/"
        self._headers = {"Authorization": f"Bearer {(server.home / 'token').read_text().strip()}"}

    def __call__(self, method: str, path: str, **body: Any) -> Any:
        answer = requests.request(method, self._url + path, headers=self._headers, json=body or None, timeout=60)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


def publish(server: RunningServer, api: Api) -> None:
    """The job types, on the server."""
    for name, main in (("resize", RESIZE), ("crawl", CRAWL), ("chart", CHART)):
        server.job(name, main=main)
        api("POST", f"job_types/{name}/register")


def send(api: Api, job_type: str, batch: str, inputs: list[dict[str, object]]) -> int:
    """Submit jobs that are not tried again; the first one's id."""
    wanted = [{"args": [], "kwargs": one} for one in inputs]
    answer = api("POST", "jobs", job_type=job_type, batch=batch, limit_count=0, inputs=wanted)
    return int(answer["first_id"])


def hold(server: RunningServer, api: Api, until: Path, machine_id: str) -> int:
    """A job on that machine that runs until there is a file of this name; its id once it runs."""
    server.job("held", main=HELD)
    api("POST", "job_types/held/register")
    wanted = [{"args": [str(until)], "kwargs": {}}]
    job = int(api("POST", "jobs", job_type="held", batch="held", machine_id=machine_id, inputs=wanted)["first_id"])
    wait.until(lambda: api("GET", f"jobs/{job}")["status"] == 1, what="the job to run", timeout_s=120, pause_s=0.2)
    return job


def submit(api: Api, *, pictures: int = 60, pages: int = 40) -> None:
    """Jobs of all kinds; waits until all of them have ended."""
    send(api, "resize", "holiday-pictures", [{"picture": f"IMG_{1000 + n}.jpg"} for n in range(pictures)])
    send(api, "crawl", "news", [{"url": f"https://news.example/{n}{'/broken' * (n % 5 == 0)}"} for n in range(pages)])
    send(api, "crawl", "hostile", [{"url": f"broken {HOSTILE}"}])
    send(api, "chart", "charts", [{"name": HOSTILE}])
    wait.until(lambda: not unfinished(api), what="the end of all jobs", timeout_s=180, pause_s=0.5)


def unfinished(api: Api) -> bool:
    """Whether any job has not ended."""
    return bool(api("GET", "jobs?status=waiting,running,returning&size=1")["jobs"])


def settle(api: Api) -> None:
    """Wait until two machines are ready."""
    wait.until(lambda: len(_ready(api)) >= 2, what="two ready machines", timeout_s=120, pause_s=0.5)


def _ready(api: Api) -> list[str]:
    return [one["machine_id"] for one in api("GET", "machines")["machines"] if one["state"] == "ready"]


def link(server: RunningServer) -> str:
    """An address that signs a browser in: the one that was printed, while it is fresh."""
    words = [word for word in server.log.split() if "#code=" in word]
    assert words, server.log
    return words[-1]


def sign_in(context: "BrowserContext", server: RunningServer) -> None:
    """Give a browser a session of somebody who may do everything."""
    token = (server.home / "token").read_text().strip()
    answer = context.request.post(f"{server.url}/api/v1/session", data={"token": token})
    assert answer.ok, answer.text()
