"""Take a part over from the current release. Loads no table library: the step starts in a moment."""

from __future__ import annotations

import shutil
from pathlib import Path

import structlog

from components.contract.errors import ReleaseError
from components.contract.files import atomic_folder
from components.contract.release import current

log = structlog.get_logger()


def take(home: Path | str, part: str, out: Path | str) -> dict[str, float | int | str]:
    """Copy a part of the current release, so that a pipeline can build on it.

    Parameters
    ----------
    home : Path or str
    part : str
        A source's name or ``ranker``.
    out : Path or str
        Folder to write.

    Returns
    -------
    dict
        ``release``, the name of the release that it comes from.

    Raises
    ------
    ReleaseError
        There is no release yet, it fails its checksums, or it lacks the part.
    """
    release = current(home)
    if release is None:
        raise ReleaseError(f"{home} holds no release to take {part} from; run the bootstrap pipeline first")
    release.verify()
    with atomic_folder(out) as aside:
        shutil.copytree(release.part(part), aside, dirs_exist_ok=True)
    log.info("release.taken", part=part, release=release.name)
    return {"release": release.name}
