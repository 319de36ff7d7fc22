"""Downloads a file: resumed where it broke off, checked, then put in place."""

import contextlib
import fcntl
import hashlib
import os
import re

from six.moves import http_client
from six.moves.urllib.error import HTTPError
from six.moves.urllib.request import Request
from six.moves.urllib.request import urlopen

import util

ATTEMPTS = 3          # connections that may break off before we give up
CHUNK = 1 << 16       # bytes
MIB = 1 << 20
TIMEOUT = 30          # seconds without any byte
REMEDY = "or get the file by hand and give it with --input"


class _Refused(ValueError):
    """The server answers with another status than 200 or 206."""

    def __init__(self, url, code, reason):
        ValueError.__init__(self, "%s: the server answers %d %s; check --url, "
                            "%s" % (url, code, reason, REMEDY))
        self.code = code


class _BrokenOff(Exception):
    """The body ended early; what arrived is kept."""


def fetch(url, path, with_md5=False):
    """Downloads `url` to `path`, unless a whole file is there already.

    Bytes go to `<path>.part`; a later call resumes it when the server still
    has the same file, and starts again when it does not. `path` appears only
    when length and checksum are right. A second process waits for the first.

    Args:
        url: str, http or https.
        path: str, the file's final name; its folder exists.
        with_md5: bool, the publisher puts the MD5 sum at `<url>.md5`.

    Raises:
        ValueError: the server refuses, what it sends is a web page, or
            length or checksum differ from what it announced.
        IOError: no connection, or the disk refuses.
    """
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed
        if os.path.exists(path):
            util.log("taking %s, downloaded before (delete it to download "
                     "again)" % path)
            return
        wanted = _published_md5(url) if with_md5 else None
        part = path + ".part"
        _transfer_in_attempts(url, part)
        _check_md5(url, part, wanted)
        os.rename(part, path)
        _remove(_note(part))


def checksum(path, algorithm):
    """The checksum of a file in hexadecimal; `algorithm` as in hashlib."""
    digest = hashlib.new(algorithm)
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(MIB), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _published_md5(url):
    """The MD5 sum that the publisher announces, or None where there is none."""
    try:
        with contextlib.closing(_open(url + ".md5", {})) as response:
            text = _read(response, 1024)
    except _Refused as error:
        if error.code != 404:
            raise
        util.log("%s.md5 is not there: only the length will be checked" % url)
        return None
    except _BrokenOff as error:
        raise ValueError("%s.md5: %s; run the command again, %s"
                         % (url, error, REMEDY))
    found = re.search(br"\b[0-9a-fA-F]{32}\b", text)
    if not found:
        raise ValueError("%s.md5 holds no MD5 sum; run the command again, %s"
                         % (url, REMEDY))
    return found.group().decode("ascii").lower()


def _check_md5(url, part, wanted):
    """Deletes a file whose sum is not the one wanted: no resuming mends it."""
    found = checksum(part, "md5") if wanted is not None else None
    if found != wanted:
        _remove(part, _note(part))
        raise ValueError(
            "%s: its MD5 sum is %s, the published one %s, so it arrived "
            "damaged or was changed; run the command again, %s"
            % (url, found, wanted, REMEDY))


def _transfer_in_attempts(url, part):
    """Goes on where a connection breaks off, a few times."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _transfer(url, part)
        except _BrokenOff as error:
            if attempt == ATTEMPTS:
                raise ValueError("%s: %s; run the command again to go on "
                                 "from there, %s" % (url, error, REMEDY))
            util.log("%s; connecting again" % error)


def _transfer(url, part):
    """One connection: writes the file, or the rest of it, to `part`."""
    start, headers = _resume_headers(part)
    try:
        response = _open(url, headers)
    except _Refused as error:
        if not start or error.code != 416:  # 416: no such range in the file
            raise
        _remove(part, _note(part))
        return _transfer(url, part)
    with contextlib.closing(response):
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise ValueError("%s: the server sends a web page; check --url "
                             "and whether the network asks to log in, %s"
                             % (url, REMEDY))
        start, total = _extent(response, start)
        if start is None:
            _remove(part, _note(part))
            raise _Refused(url, response.getcode(), "with a wrong range")
        with open(part, "r+b" if start else "wb") as stream:
            stream.seek(start)
            with open(_note(part), "w") as note:
                note.write(_validator(response.headers))
            done = _copy(response, stream, url, start, total)
    if total is None:
        util.log("%s: the server announces no length to check" % url)
    elif done != total:
        raise _BrokenOff("the connection ended after %d of %d bytes"
                         % (done, total))


def _extent(response, asked):
    """(first byte of the body, bytes of the whole file or None if unknown).

    The first is None when the body is a part that was not asked for.
    """
    if response.getcode() == 206:
        ranged = re.match(r"bytes (\d+)-\d+/(\d+)\Z",
                          response.headers.get("Content-Range", ""))
        fits = ranged and asked and int(ranged.group(1)) == asked
        return (asked, int(ranged.group(2))) if fits else (None, None)
    # The whole file comes: it has changed, or the server ignores Range.
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _open(url, headers):
    """The response to a request, status 200 or 206."""
    headers = dict(headers, **{"User-Agent": "prepare_data.py"})
    try:
        return urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        raise _Refused(url, error.code, error.reason)
    except (IOError, http_client.HTTPException) as error:
        raise IOError("%s: no connection: %s; check the network, %s" % (
            url, getattr(error, "reason", None) or repr(error), REMEDY))


def _read(response, size):
    try:
        return response.read(size)
    except (IOError, http_client.HTTPException) as error:
        raise _BrokenOff("the connection broke off: %r" % error)


def _copy(response, stream, url, done, total):
    """Copies the body; returns how many bytes of the file there are now."""
    util.log("downloading %s%s" % (
        url, ", from byte %d" % done if done else ""))
    progress = None if total is None else util.Progress(
        total // MIB, "MiB", done // MIB)
    for chunk in iter(lambda: _read(response, CHUNK), b""):
        stream.write(chunk)
        whole = (done + len(chunk)) // MIB - done // MIB
        done += len(chunk)
        if progress and whole:
            progress.update(whole)
    if progress:
        progress.close()
    return done


def _note(part):
    """Where the validator of a partial file is kept (see _validator)."""
    return part + ".validator"


def _validator(headers):
    """What tells one version of the server's file from another, or "".

    If-Range (RFC 7233, section 3.2) needs a strong validator, so an entity tag
    that starts with W/ is of no use.
    """
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _resume_headers(part):
    """(bytes there, headers that ask for the rest if the file is the same)."""
    if not (os.path.exists(part) and os.path.exists(_note(part))):
        return 0, {}
    with open(_note(part)) as stream:
        validator = stream.read()
    size = os.path.getsize(part)
    if not validator or not size:
        return 0, {}
    return size, {"Range": "bytes=%d-" % size, "If-Range": validator}


def _remove(*paths):
    for path in paths:
        if os.path.exists(path):
            os.remove(path)
