"""Downloads from a server that breaks off, and archives that are broken or malicious."""

import hashlib
import http.server
import itertools
import socketserver
import threading
import urllib.error
import zipfile

import pytest

from cmbench.errors import UserError
from cmbench.workloads import download as module
from cmbench.workloads.download import unzip
from cmbench.workloads.registry import get_workload
from cmbench.workloads.tinyimagenet import TinyImageNetOnline

from . import miniatures

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()


def download(url, target, report=module.silent, most=len(CONTENT), md5=MD5):
    return module.download(url, target, report, most=most, md5=md5)


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; the first `breaks` answers break off in the middle. `ranges` has the Range of every request."""

    def __init__(self, files, breaks=0, resumes=True):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.breaks, self.resumes, self.ranges = files, breaks, resumes, []

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        content = server.files.get(self.path[1:])
        if content is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.resumes else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        rest = content[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    """No proxy, no waiting."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "PAUSE", 0)


def test_a_download_that_breaks_off_goes_on_where_it_was(tmp_path):
    with Server({"data": CONTENT}, breaks=1) as server:
        file = download(server.url("data"), tmp_path / "deep" / "data.bin")
    assert file.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]
    assert [path.name for path in file.parent.iterdir()] == ["data.bin"]


def test_it_is_told_how_much_has_arrived(tmp_path):
    heard = []
    with Server({"data": CONTENT}, breaks=1) as server:
        download(server.url("data"), tmp_path / "data.bin", heard.append)
    sizes = [arrived.size for arrived in heard]
    assert sizes == sorted(sizes)
    assert (sizes[-1], {arrived.name for arrived in heard}) == (len(CONTENT), {"data.bin"})
    assert {arrived.total for arrived in heard} == {len(CONTENT)}


def test_an_earlier_part_is_gone_on_with(tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    with Server({"data": CONTENT}) as server:
        assert download(server.url("data"), tmp_path / "data.bin").read_bytes() == CONTENT
        assert server.ranges == ["bytes=1000-"]
        download(server.url("data"), tmp_path / "data.bin")
        assert len(server.ranges) == 1  # it is there


def test_a_part_that_is_everything_is_the_file_and_one_that_is_too_long_is_dropped(tmp_path):
    with Server({"data": CONTENT}) as server:
        (tmp_path / "whole.part").write_bytes(CONTENT)
        assert download(server.url("data"), tmp_path / "whole").read_bytes() == CONTENT
        (tmp_path / "long.part").write_bytes(CONTENT + b"more")
        assert download(server.url("data"), tmp_path / "long").read_bytes() == CONTENT


def test_a_server_that_cannot_resume_sends_everything_anew(tmp_path):
    (tmp_path / "data.bin.part").write_bytes(b"something")
    with Server({"data": CONTENT}, resumes=False) as server:
        assert download(server.url("data"), tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_download_that_does_not_get_on_is_given_up_and_keeps_what_it_has(tmp_path):
    with Server({"data": CONTENT}) as server:
        url = server.url("data")
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    with pytest.raises(ConnectionError, match="1,000 bytes arrived, then nothing more"):
        download(url, tmp_path / "data.bin")
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:1000]
    with Server({}) as server, pytest.raises(urllib.error.HTTPError, match="404"):
        download(server.url("data"), tmp_path / "other")


def test_tinyimagenet_is_downloaded_and_unzipped(tmp_path, monkeypatch):
    root = miniatures.tinyimagenet(tmp_path / "original", classes=2, train=2, valid=1)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for file in root.rglob("*"):
            archive.write(file, file.relative_to(root.parent))
    workload = get_workload("tinyimagenet_online", data_dir=tmp_path / "here")
    assert not workload.is_here()
    with Server({"tiny.zip": (tmp_path / "data.zip").read_bytes()}, breaks=1) as server:
        monkeypatch.setattr(TinyImageNetOnline, "url", server.url("tiny.zip"))
        workload.prepare()
    assert workload.is_here()
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["tiny-imagenet-200"]
    assert workload.fingerprint() == get_workload("tinyimagenet_online", data_dir=tmp_path / "original").fingerprint()


def test_a_zip_that_is_broken_malicious_or_something_else_leaves_nothing_behind(tmp_path):
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("wanted/file", "content")
        files.writestr("../outside", "content")
    with pytest.raises(UserError, match=r"a file outside of itself: '\.\./outside'"):
        unzip(archive, tmp_path / "here", "wanted")
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("wanted/file", "content")
    with pytest.raises(UserError, match="no folder other"):
        unzip(archive, tmp_path / "here", "other")
    assert list((tmp_path / "here").iterdir()) == []
    assert (unzip(archive, tmp_path / "here", "wanted") / "file").read_text() == "content"
    archive.write_bytes(archive.read_bytes()[:60])
    with pytest.raises(UserError, match="a broken archive, which is deleted"):
        unzip(archive, tmp_path / "here", "again")
    assert not archive.exists()
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["wanted"]


def test_notmnist_is_downloaded(tmp_path, monkeypatch):
    from cmbench.workloads.notmnist import NotMNIST

    miniatures.notmnist(tmp_path, (2,) * 10)
    (tmp_path / "server").mkdir()
    miniatures.notmnist_archive(tmp_path, tmp_path / "server")
    monkeypatch.setattr(NotMNIST, "counts", (2,) * 10)
    with Server({"letters": (tmp_path / "server" / "notMNIST_small.tar.gz").read_bytes()}) as server:
        monkeypatch.setattr(NotMNIST, "url", server.url("letters"))
        heard = []
        NotMNIST(tmp_path / "here").prepare(heard.append)
    assert heard[-1].name == "notMNIST_small.tar.gz"
    assert len(NotMNIST(tmp_path / "here").read()[0]) == 20


def test_other_bytes_than_the_published_ones_are_not_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CMBENCH_UNVERIFIED_DATA", "0")
    with Server({"data": CONTENT}) as server:
        url = server.url("data")
        with pytest.raises(UserError, match=f"not the published file: its MD5 sum is {MD5}: accepted: 0123"):
            download(url, tmp_path / "data.bin", md5="0123")
        with pytest.raises(UserError, match="more than 1,000 bytes: accepted: the published file"):
            download(url, tmp_path / "data.bin", most=1000)
        assert list(tmp_path.iterdir()) == []
        monkeypatch.setenv("CMBENCH_UNVERIFIED_DATA", "1")
        download(url, tmp_path / "data.bin", md5="0123")
    assert "warning" in capsys.readouterr().err


class Talks(socketserver.StreamRequestHandler):
    """Says whatever the server has to say, the next of it at every connection."""

    def handle(self):
        self.rfile.readline()
        self.wfile.write(next(self.server.answers))


@pytest.mark.parametrize(
    "answers",
    [
        [b"what?\r\n\r\n"],
        [b""],
        [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"],
        [b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000],
        [b"HTTP/1.1 416 No\r\nContent-Range: bytes */7\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
        [b"HTTP/1.1 302 Elsewhere\r\nLocation: file:///etc/passwd\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + bytes(n) for n in (9, 5)],
        [b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n" + bytes(9)],
        [b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n" + bytes(9)],
        [b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 900-/3\r\n\r\n" + bytes(9)],
    ],
    ids=["no HTTP", "silence", "headers", "a header", "416", "chunks", "a file", "9, 5, 9", "-7", "9999", "206"],
)
def test_a_server_that_talks_nonsense_is_given_up_in_a_sentence(answers, tmp_path, monkeypatch):
    monkeypatch.setenv("CMBENCH_UNVERIFIED_DATA", "0")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talks) as server:
        server.answers = itertools.cycle(answers)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises((UserError, OSError)):
            download(f"http://127.0.0.1:{server.server_address[1]}/x", tmp_path / "data.bin")
        server.shutdown()
    assert not (tmp_path / "data.bin").exists()


def with_member(file, name, content="content", link=False, **settings):
    with zipfile.ZipFile(file, "a") as files:
        member = zipfile.ZipInfo(name)
        member.external_attr = (0o120777 if link else 0o100644) << 16
        for key, value in settings.items():
            setattr(member, key, value)
        files.writestr(member, content)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([{"name": "/etc/passwd"}], "a file outside of itself"),
        ([{"name": "..\\outside"}], "a file outside of itself"),
        ([{"name": "a/link", "content": "/etc", "link": True}], "has a link, or a device: 'a/link'"),
        ([{"name": "a/b"}, {"name": "a//b"}], "has a name twice"),
        ([{"name": "a/b", "filename": ""}], "cannot be unpacked"),
        ([{"name": "a"}, {"name": "a/b"}], "cannot be unpacked"),
        ([{"name": f"a/{'b' * 300}"}], "cannot be unpacked"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_links_and_names_of_elsewhere_is_refused(members, message, tmp_path):
    archive = tmp_path / "data.zip"
    for member in members:
        with_member(archive, **member)
    with pytest.raises(UserError, match=message):
        unzip(archive, tmp_path / "here", "a")
    assert list((tmp_path / "here").iterdir()) == []


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_UNPACKED", 100_000)
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("a/b", bytes(1_000_000))
    with pytest.raises(UserError, match=r"1 files of 1,000,000 bytes: accepted: 200,000 of 100,000"):
        unzip(tmp_path / "data.zip", tmp_path / "here", "a")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_a_zip_whose_blocks_stand_for_gigabytes_is_refused_whatever_it_says(method, tmp_path):
    with_member(tmp_path / "data.zip", "a/b", bytes(1_000_000), compress_type=method)
    with pytest.raises(UserError, match=f"is packed by method {method}: accepted: deflate"):
        unzip(tmp_path / "data.zip", tmp_path / "here", "a")


def test_a_file_that_is_there_is_not_fetched(tmp_path):
    (tmp_path / "data.bin").write_bytes(b"mine")
    assert download("http://127.0.0.1:1/data", tmp_path / "data.bin").read_bytes() == b"mine"
