"""The console's shell: the files it is made of, the version they make together, and the worker that keeps them."""

import functools
import hashlib
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_HERE = Path(__file__).parents[1]
_STATIC = _HERE / "static"
_TEMPLATES = ("base.html", "console.html", "icons.html", "macros.html")
_IMPORT = re.compile(r'^import .* from "(\.{1,2}/[a-z/-]+\.js)";$', re.MULTILINE)
_NAMED = re.compile(r'"/static/([a-z/-]+\.[a-z]+)"')
_WORKER = "service-worker.js"


@dataclass(frozen=True)
class Shell:
    """`version` changes with any byte of the page or of a file that it loads."""

    version: str
    files: tuple[str, ...]


@functools.cache
def shell() -> Shell:
    """Read the files of the console."""
    templates = [(_HERE / "templates" / name).read_bytes() for name in _TEMPLATES]
    named = (name for template in templates for name in _NAMED.findall(template.decode()))
    files = tuple(dict.fromkeys((*named, *modules_of("console/console.js"))))
    content = [*templates, *((_STATIC / name).read_bytes() for name in (*files, _WORKER))]
    version = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in content)).hexdigest()[:32]
    return Shell(version, tuple(f"/static/{name}" for name in files))


@functools.cache
def modules_of(entry: str) -> tuple[str, ...]:
    """Name every module that `entry` loads, so that the browser can fetch them at once and not one after another."""
    found: dict[str, None] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            imports = _IMPORT.findall((_STATIC / name).read_text(encoding="utf-8"))
            waiting.extend(posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) for path in imports)
    return tuple(found)


async def worker(_request: Request) -> Response:
    """Give the service worker: at the root, because it may cache only paths beside or below it."""
    known = shell()
    constants = f"const VERSION = {_js(known.version)};\nconst FILES = {_js(known.files)};\n"
    code = constants + (_STATIC / _WORKER).read_text(encoding="utf-8")
    return Response(code, media_type="text/javascript", headers={"cache-control": "no-cache"})


def _js(value: object) -> str:
    return orjson.dumps(value).decode()


routes = [Route(f"/{_WORKER}", worker)]
