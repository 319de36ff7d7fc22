"""Downloads from a server on this machine, its failures included."""

import hashlib
import os
import random
import socket
import threading

import pytest

from local_server import Page
from local_server import Server

from data import download

RNG = random.Random(3)
BODY = bytes(bytearray(RNG.randrange(256) for _ in range(99991)))
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.fixture
def server():
    running = Server()
    yield running
    running.close()


@pytest.fixture
def target(tmp_path):
    return str(tmp_path / "file.zip")


def serve(server, body=BODY, **options):
    server.pages["/file.zip"] = Page(body, **options)
    return server.base + "/file.zip"


def content(path):
    with open(path, "rb") as stream:
        return stream.read()


def left_over(target):
    """The files beside the target, the lock aside."""
    names = os.listdir(os.path.dirname(target))
    return sorted(name for name in names if not name.endswith(".lock"))


# --- what works -------------------------------------------------------------

def test_a_file_arrives_whole_and_alone(server, target):
    download.fetch(serve(server), target)
    assert content(target) == BODY
    assert left_over(target) == ["file.zip"]


def test_an_empty_file_arrives(server, target):
    download.fetch(serve(server, body=b""), target)
    assert content(target) == b""


def test_a_file_that_is_there_is_not_asked_for(server, target):
    with open(target, "wb") as stream:
        stream.write(b"mine")
    download.fetch(serve(server), target, with_md5=True)
    assert content(target) == b"mine" and server.requests == []


def test_a_redirect_is_followed(server, target):
    server.pages["/elsewhere"] = Page(BODY)
    download.fetch(serve(server, location="/elsewhere"), target)
    assert content(target) == BODY


@pytest.mark.parametrize("form", ["MD5 (file.zip) = %s\n", "%s  file.zip\n"])
def test_the_published_checksum_is_compared(server, target, form):
    server.pages["/file.zip.md5"] = Page((form % MD5.upper()).encode())
    download.fetch(serve(server), target, with_md5=True)
    assert content(target) == BODY


def test_without_a_published_checksum_the_length_must_do(
        server, target, capsys):
    download.fetch(serve(server), target, with_md5=True)
    assert content(target) == BODY
    assert "only the length will be checked" in capsys.readouterr().err


def test_an_unknown_length_is_said(server, target, capsys):
    download.fetch(serve(server, length=False), target)
    assert content(target) == BODY
    assert "no length to check" in capsys.readouterr().err


def test_progress_is_shown_in_mebibytes(server, target, capsys, monkeypatch):
    monkeypatch.setattr(download, "MIB", 1 << 10)
    download.fetch(serve(server), target)
    assert "97/97 MiB" in capsys.readouterr().err


# --- broken connections -----------------------------------------------------

@pytest.mark.parametrize("validator", [
    {}, {"etag": None, "modified": "Wed, 21 Oct 2015 07:28:00 GMT"},
    {"etag": 'W/"one"', "modified": "Wed, 21 Oct 2015 07:28:00 GMT"}],
    ids=["entity-tag", "date", "weak-entity-tag"])
def test_a_broken_connection_is_resumed_at_once(server, target, validator):
    download.fetch(serve(server, cuts=[40000, 70001], **validator), target)
    assert content(target) == BODY
    assert [asked for _, asked in server.requests] == [
        None, "bytes=40000-", "bytes=70001-"]
    assert left_over(target) == ["file.zip"]


def test_the_next_run_resumes_what_this_one_could_not_finish(server, target):
    url = serve(server, cuts=[10, 20, 30])
    with pytest.raises(ValueError) as error:
        download.fetch(url, target)
    message = str(error.value)
    assert "30 of 99991 bytes" in message and url in message
    assert "again" in message and "--input" in message
    assert not os.path.exists(target)
    download.fetch(url, target)
    assert content(target) == BODY
    assert server.requests[-1][1] == "bytes=30-"


def test_a_server_that_ignores_ranges_sends_it_all_again(server, target):
    download.fetch(serve(server, cuts=[40000], ranges=False), target)
    assert content(target) == BODY
    assert [asked for _, asked in server.requests] == [None, "bytes=40000-"]


def test_a_range_may_come_in_pieces(server, target):
    download.fetch(serve(server, cuts=[40000], piece=30000), target)
    assert content(target) == BODY
    assert [asked for _, asked in server.requests] == [
        None, "bytes=40000-", "bytes=70000-"]


def test_a_range_that_was_not_asked_for_is_refused(server, target):
    url = serve(server, cuts=[40000], shift=1)
    refused(server, target, url, "answers 206 with a wrong range")
    assert left_over(target) == []
    download.fetch(url, target)
    assert content(target) == BODY


def test_a_file_that_changed_meanwhile_is_not_mixed(server, target):
    url = serve(server, cuts=[40000, 41000, 42000])
    with pytest.raises(ValueError):
        download.fetch(url, target)
    other = BODY[::-1] + b"longer"
    serve(server, body=other, etag='"two"')
    download.fetch(url, target)
    assert content(target) == other


def test_without_a_validator_nothing_is_resumed(server, target):
    download.fetch(serve(server, etag=None, cuts=[40000]), target)
    assert content(target) == BODY
    assert [asked for _, asked in server.requests] == [None, None]


def test_a_partial_file_of_full_length_is_fetched_again(server, target):
    url = serve(server, cuts=[9, 9, 9])
    with pytest.raises(ValueError):
        download.fetch(url, target)
    with open(target + ".part", "wb") as stream:
        stream.write(BODY)
    download.fetch(url, target)
    assert content(target) == BODY


# --- refusals ---------------------------------------------------------------

def refused(server, target, url, *parts, **options):
    with pytest.raises((ValueError, IOError)) as error:
        download.fetch(url, target, **options)
    for part in parts + ("--input",):
        assert part in str(error.value)
    assert not os.path.exists(target)
    return str(error.value)


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_refusal_names_url_and_status(server, target, status):
    url = serve(server, status=status)
    refused(server, target, url, url, "answers %d" % status, "--url")
    assert left_over(target) == []


def test_a_refusal_keeps_what_arrived_before(server, target):
    url = serve(server, cuts=[10, 20, 30])
    refused(server, target, url)
    serve(server, status=503)
    refused(server, target, url, "503")
    serve(server)
    download.fetch(url, target)
    assert server.requests[-1][1] == "bytes=30-"
    assert content(target) == BODY


def test_a_changed_checksum_leaves_nothing(server, target):
    url = serve(server)
    server.pages["/file.zip.md5"] = Page(b"MD5 (file.zip) = " + b"0" * 32)
    refused(server, target, url, MD5, "0" * 32, with_md5=True)
    assert left_over(target) == []


@pytest.mark.parametrize("page, part", [
    (Page(b"<p>sorry</p>"), "no MD5 sum"), (Page(b"", status=500), "500"),
    (Page(b"M", length=False), "no MD5 sum")])
def test_a_checksum_that_cannot_be_had_stops_before_the_file(
        server, target, page, part):
    url = serve(server)
    server.pages["/file.zip.md5"] = page
    refused(server, target, url, url + ".md5", part, with_md5=True)
    assert left_over(target) == []


def test_a_web_page_is_not_taken_for_the_file(server, target):
    url = serve(server, body=b"<html>log in", kind="text/html; charset=utf-8")
    refused(server, target, url, "web page")
    assert left_over(target) == []


def test_no_connection_is_one_clear_error(server, target):
    unused = socket.socket()
    unused.bind(("127.0.0.1", 0))
    url = "http://127.0.0.1:%d/file.zip" % unused.getsockname()[1]
    refused(server, target, url, url, "no connection")
    unused.close()
    refused(server, target, "http://no-such-host.invalid/x", "no connection")
    assert left_over(target) == []


@pytest.mark.parametrize("location", ["/file.zip", "file:///etc/hostname",
                                      "http://[broken"])
def test_a_senseless_redirect_is_refused(server, target, location):
    url = serve(server, location=location)
    with pytest.raises((ValueError, IOError)):
        download.fetch(url, target)
    assert left_over(target) == []


def test_what_is_no_url_is_a_value_error(target):
    with pytest.raises(ValueError):
        download.fetch("grouplens", target)


def test_a_server_that_speaks_no_http_is_refused(target):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)

    def babble():
        connection, _ = listener.accept()
        connection.recv(1000)
        connection.sendall(b"220 ftp ready\r\n")
        connection.close()

    thread = threading.Thread(target=babble)
    thread.start()
    with pytest.raises(IOError, match="no connection"):
        download.fetch("http://127.0.0.1:%d/x" % listener.getsockname()[1],
                       target)
    thread.join()
    listener.close()
    assert left_over(target) == []


def test_a_second_process_waits_and_takes_the_first_ones_file(server, target):
    url = serve(server)
    threads = [threading.Thread(target=download.fetch, args=(url, target))
               for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1 and content(target) == BODY


def test_the_checksum_is_that_of_hashlib(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(BODY)
    assert download.checksum(str(path), "md5") == MD5
    assert download.checksum(str(path), "sha256") == hashlib.sha256(
        BODY).hexdigest()
