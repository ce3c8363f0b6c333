"""Look-up, download and checking of dataset files, against a server on this machine."""

import gzip
import hashlib
import http.server
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tensorlite.data import sources
from tensorlite.data.sources import FileSet

CONTENT = {"images": bytes(range(256)) * 400, "labels": b"\x01\x02\x03" * 50}


class Server:
    """Serves `files` over HTTP, with ranges; can break the connection after some bytes."""

    def __init__(self):
        self.files = {}
        self.break_after = None
        self.ranges = True
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, request):
        wanted = request.headers.get("Range")
        self.requests.append((request.path, wanted))
        body = self.files.get(request.path.lstrip("/"))
        if body is None:
            request.send_error(404)
            return
        start = int(wanted[len("bytes=") : -1]) if wanted and self.ranges else 0
        if start and start >= len(body):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        request.wfile.write(body[start:][: self.break_after])

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Point every place of the look-up below `tmp_path`, and use no proxy."""
    monkeypatch.delenv("TENSORLITE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(sources, "SYSTEM_FOLDER", tmp_path / "system")
    return tmp_path


def file_set(*mirrors, suffix=".gz"):
    checksums = {file: hashlib.sha256(content).hexdigest() for file, content in CONTENT.items()}
    return FileSet("toy", checksums, mirrors, suffix, hint="Install toy-data")


def put(folder, zipped=True, **content):
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in content.items():
        name = f"{file}.gz" if zipped else file
        (folder / name).write_bytes(gzip.compress(data) if zipped else data)


def packed():
    return {f"{file}.gz": gzip.compress(content) for file, content in CONTENT.items()}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_system_folder_is_read_gzipped_or_plain(places, zipped):
    put(places / "system" / "toy", zipped, **CONTENT)
    content, folder = file_set().read()
    assert content == CONTENT
    assert folder == places / "system" / "toy"


def test_places_are_searched_in_order(places, monkeypatch):
    monkeypatch.setenv("TENSORLITE_DATA", str(places / "mine"))
    for place in ("system", "cache/tensorlite/data", "mine"):
        put(places / place / "toy", **CONTENT)
        assert file_set().locate() == places / place / "toy"


def test_an_incomplete_folder_is_passed_over(places):
    put(places / "cache" / "tensorlite" / "data" / "toy", images=CONTENT["images"])
    put(places / "system" / "toy", **CONTENT)
    assert file_set().locate() == places / "system" / "toy"


def test_a_file_compressed_anew_is_accepted(places):
    put(places / "system" / "toy", **CONTENT)
    path = places / "system" / "toy" / "images.gz"
    path.write_bytes(gzip.compress(CONTENT["images"], compresslevel=1))
    assert file_set().read()[0] == CONTENT


@pytest.mark.parametrize("damage", ["truncated", "flipped", "other", "not gzip"])
def test_a_damaged_file_is_refused_and_left_alone(places, damage):
    folder = places / "cache" / "tensorlite" / "data" / "toy"
    put(folder, **CONTENT)
    put(places / "system" / "toy", **CONTENT)  # sound, but must not be taken silently
    path = folder / "images.gz"
    whole = path.read_bytes()
    broken = {
        "truncated": whole[:-20],
        "flipped": whole[:40] + bytes((whole[40] ^ 1,)) + whole[41:],
        "other": gzip.compress(b"another file"),
        "not gzip": b"<html>sign in to continue</html>",
    }[damage]
    path.write_bytes(broken)
    with pytest.raises(ValueError, match=r"images\.gz .*(damaged|published)"):
        file_set().read()
    assert path.read_bytes() == broken


def test_download_goes_to_the_cache_once(server):
    server.files = packed()
    files = file_set(server.url)
    assert files.locate() is None
    content, folder = files.read()
    assert content == CONTENT
    assert folder == files.cache == files.locate()
    files.read()
    assert len(server.requests) == 2


def test_only_missing_files_are_downloaded(server):
    server.files = packed()
    files = file_set(server.url)
    put(files.cache, labels=CONTENT["labels"])
    files.read()
    assert [path for path, _ in server.requests] == ["/images.gz"]


def test_the_next_mirror_is_tried(server):
    server.files = {f"second/{name}": body for name, body in packed().items()}
    content, _ = file_set(server.url, server.url + "second/").read()
    assert content == CONTENT


def test_two_downloads_at_once_both_succeed(server):
    """The second waits for the first, and takes what that has brought."""
    server.files = packed()
    files = file_set(server.url)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: files.read()[0], range(2)))
    assert results == [CONTENT, CONTENT]
    assert len(server.requests) == 2


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_is_continued(server, ranges):
    server.files, server.break_after, server.ranges = packed(), 100, ranges
    files = file_set(server.url)
    with pytest.raises(FileNotFoundError, match="broke after 100 of"):
        files.read()
    assert files.missing(files.cache) == list(CONTENT), "half a file must not look like a whole one"
    server.break_after = None
    assert files.read()[0] == CONTENT
    assert ("/images.gz", "bytes=100-") in server.requests


def test_a_complete_partial_file_is_taken(server):
    server.files = packed()
    files = file_set(server.url)
    partial = files.cache / ".partial"
    partial.mkdir(parents=True)
    (partial / "images.gz").write_bytes(server.files["images.gz"])
    assert files.read()[0] == CONTENT


def test_a_wrong_checksum_is_refused_and_forgotten(server):
    server.files = {**packed(), "images.gz": gzip.compress(b"tampered with")}
    files = file_set(server.url)
    with pytest.raises(FileNotFoundError, match="sha256"):
        files.read()
    assert not list(files.cache.rglob("images.gz"))
    server.files = packed()
    assert files.read()[0] == CONTENT


def test_absent_everywhere_names_every_place(places, server, monkeypatch):
    monkeypatch.setenv("TENSORLITE_DATA", str(places / "mine"))
    put(places / "system" / "toy", images=CONTENT["images"])
    with pytest.raises(FileNotFoundError) as caught:
        file_set(server.url).read()
    message = str(caught.value)
    assert f"{places / 'mine' / 'toy'}: not there" in message
    assert f"{places / 'cache'}" in message
    assert f"{places / 'system' / 'toy'}: lacks labels" in message
    assert f"{server.url}images.gz: HTTP Error 404" in message
    assert "Install toy-data, or put images.gz, labels.gz into" in message
    assert not (places / "cache").exists(), "a failure leaves nothing behind"


def test_no_server_is_an_ordinary_failure():
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    with pytest.raises(FileNotFoundError, match="Connection refused"):
        file_set(f"http://127.0.0.1:{port}/").read()


def test_an_unwritable_cache_is_named(places, server):
    server.files = packed()
    (places / "cache").write_text("a file where a folder should be")
    with pytest.raises(FileNotFoundError, match="cache"):
        file_set(server.url).read()
