"""The portal's pages, scripts, styles and fonts, read once, and how a browser may keep them."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parent / "static"
BASE = "/portal/static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True)
class File:
    """One file, as it is sent."""

    media_type: str
    body: bytes
    packed: bytes | None


class Files:
    """All files of the portal; ``version`` changes with any of them, and is part of their addresses."""

    def __init__(self) -> None:
        found = {
            path.relative_to(_ROOT).as_posix(): path.read_bytes()
            for path in sorted(_ROOT.rglob("*"))
            if path.suffix in _TYPES
        }
        digest = hashlib.sha256()
        for name, body in found.items():
            digest.update(name.encode() + b"\0" + body)
        self.version = digest.hexdigest()[:12]
        place = f"{BASE}/{self.version}".encode()
        self._files = {name: _file(name, body.replace(b"{{static}}", place)) for name, body in found.items()}

    def get(self, name: str) -> File | None:
        """One file; None if there is none of the name."""
        return self._files.get(name)


def _file(name: str, body: bytes) -> File:
    suffix = Path(name).suffix
    packed = None if suffix == ".woff2" else gzip.compress(body, 9, mtime=0)
    return File(_TYPES[suffix], body, packed)
