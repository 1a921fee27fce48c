"""Images from files: what is accepted, and every sentence that refuses one."""

import pickle
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from ohmweave.errors import OhmweaveError
from ohmweave.sim.images import load_images

GRAY = (4, 5, 1)
COLOUR = (4, 5, 3)


def pixels(shape, seed=1):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def load(path, shape=GRAY, **options):
    return load_images(path, shape=shape, classes=10, **options)


def refused(path, shape=GRAY):
    with pytest.raises(OhmweaveError) as refusal:
        load(path, shape)
    return str(refusal.value).replace(str(path.parent) + "/", "")


def test_npz_with_labels(tmp_path):
    images = pixels((3, 4, 5))
    loaded = load(save(tmp_path / "a.npz", images=images, labels=np.array([1, 2, 9], np.uint8)))
    assert len(loaded) == 3
    assert (loaded.pixels == images[..., None]).all()
    assert loaded.labels.tolist() == [1, 2, 9]
    assert loaded.labels.dtype == np.int64


def test_npz_without_labels(tmp_path):
    images = pixels((3, 4, 5, 3))
    loaded = load(save(tmp_path / "a.npz", images=images), COLOUR)
    assert (loaded.pixels == images).all()
    assert loaded.labels is None


def test_explicit_channel_axis(tmp_path):
    images = pixels((2, 4, 5, 1))
    assert (load(save(tmp_path / "a.npz", images=images)).pixels == images).all()


@pytest.mark.parametrize(("limit", "count"), [(1, 1), (3, 3), (9, 3), (None, 3)])
def test_limit(tmp_path, limit, count):
    path = save(tmp_path / "a.npz", images=pixels((3, 4, 5)), labels=np.arange(3))
    loaded = load(path, limit=limit)
    assert len(loaded) == len(loaded.labels) == count


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (
            {"pictures": pixels((1, 4, 5))},
            "the image file a.npz must hold an array `images`, and holds pictures",
        ),
        ({"images": np.zeros((1, 4, 5))}, "the image file a.npz: images must be uint8, not float64"),
        (
            {"images": pixels((1, 5, 4))},
            "the image file a.npz: images must have the shape (N, 4, 5), not (1, 5, 4, 1)",
        ),
        (
            {"images": pixels((4, 5))},
            "the image file a.npz: images must have the shape (N, 4, 5), not (4, 5)",
        ),
        (
            {"images": pixels((1, 4, 5, 3))},
            "the image file a.npz: images must have the shape (N, 4, 5), not (1, 4, 5, 3)",
        ),
        ({"images": pixels((0, 4, 5))}, "the image file a.npz: images must be from 1 to 1000000, not 0"),
        (
            {"images": pixels((2, 4, 5)), "labels": np.zeros(2)},
            "the image file a.npz: labels must be whole numbers, not float64",
        ),
        (
            {"images": pixels((2, 4, 5)), "labels": np.zeros(3, int)},
            "the image file a.npz: labels must have the shape (2,), not (3,)",
        ),
        (
            {"images": pixels((2, 4, 5)), "labels": np.array([0, 10])},
            "the image file a.npz: labels must be from 0 to 9, not 0 to 10",
        ),
        (
            {"images": pixels((2, 4, 5)), "labels": np.array([-1, 3])},
            "the image file a.npz: labels must be from 0 to 9, not -1 to 3",
        ),
    ],
)
def test_refused_arrays(tmp_path, arrays, sentence):
    assert refused(save(tmp_path / "a.npz", **arrays)) == sentence


def test_refused_colour_shape(tmp_path):
    path = save(tmp_path / "a.npz", images=pixels((1, 4, 5)))
    assert refused(path, COLOUR) == (
        "the image file a.npz: images must have the shape (N, 4, 5, 3), not (1, 4, 5)"
    )


def test_pickle_is_refused_and_not_run(tmp_path):
    """An object array would run code when it is unpickled."""
    marker = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return (marker.touch, ())

    path = tmp_path / "a.npz"
    np.savez(path, images=np.array([Payload()], object), allow_pickle=True)
    assert pickle.dumps(Payload())  # the payload is a working one
    assert refused(path) == "the image file a.npz must be an .npz of plain arrays, and is not or is damaged"
    assert not marker.exists()


def test_no_archive(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"not an archive")
    assert refused(path) == "the image file a.npz must be an .npz of plain arrays, and is not or is damaged"


def test_truncated_archive(tmp_path):
    path = save(tmp_path / "a.npz", images=pixels((3, 4, 5)))
    path.write_bytes(path.read_bytes()[:-40])
    assert refused(path) == "the image file a.npz must be an .npz of plain arrays, and is not or is damaged"


@pytest.mark.parametrize(
    "header", ["(" * 5000, "-" * 9000 + "1", "'''", "{'shape': (3L,", "{'descr': '\\d'}", "\0", "é", ""]
)
def test_header_that_python_cannot_read(tmp_path, header):
    """NumPy has Python's own parser read it, whose complaints are of many kinds."""
    text = header.encode("latin-1") + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
    with warnings.catch_warnings(record=True) as warned:
        sentence = refused(tmp_path / "a.npz")
    assert sentence == "the image file a.npz must be an .npz of plain arrays, and is not or is damaged"
    assert not warned


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_damage_in_other_compressions(tmp_path, compression):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", compression) as archive:
        archive.writestr("images.npy", bytes(1000))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[50:60] = b"\xa5" * 10
    (tmp_path / "a.npz").write_bytes(data)
    assert refused(tmp_path / "a.npz").startswith("the image file a.npz ")


def test_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as out:
        for _ in range(1025):
            out.write(bytes(1 << 20))
    assert path.stat().st_size < 2 << 20
    assert refused(path) == "the image file a.npz must unpack to at most 1073741824 bytes"


def test_missing_file(tmp_path):
    assert refused(tmp_path / "a.npz") == "the image file a.npz cannot be read: No such file or directory"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pngs"
    folder.mkdir()
    return folder


def test_folder_in_the_order_of_names(folder):
    images = pixels((3, 4, 5))
    for name, image in zip(("b.png", "c.PNG", "a.png"), images, strict=True):
        Image.fromarray(image).save(folder / name, "PNG")
    (folder / "notes.txt").write_text("skipped")
    loaded = load(folder)
    assert (loaded.pixels[..., 0] == images[[2, 0, 1]]).all()
    assert loaded.labels is None
    assert len(load(folder, limit=2)) == 2


def test_folder_of_colour(folder):
    image = pixels((4, 5, 3))
    Image.fromarray(image).save(folder / "a.png")
    assert (load(folder, COLOUR).pixels[0] == image).all()


DEEP = np.zeros((4, 5), np.uint16)


@pytest.mark.parametrize(
    ("image", "shape", "sentence"),
    [
        (pixels((5, 4)), GRAY, "image a.png must be 5×4 pixels, not 4×5"),
        (pixels((4, 5, 3)), GRAY, "image a.png must be an 8-bit grayscale PNG, not one of mode RGB"),
        (pixels((4, 5)), COLOUR, "image a.png must be an 8-bit RGB PNG, not one of mode L"),
        (pixels((4, 5, 4)), COLOUR, "image a.png must be an 8-bit RGB PNG, not one of mode RGBA"),
        (DEEP, GRAY, "image a.png must be an 8-bit grayscale PNG, not one of mode I;16"),
    ],
)
def test_refused_png(folder, image, shape, sentence):
    Image.fromarray(image).save(folder / "a.png")
    assert refused(folder, shape).replace("pngs/", "") == sentence


def test_empty_folder(folder):
    assert refused(folder) == "image folder pngs must hold from 1 to 1000000 .png files, not 0"


@pytest.mark.parametrize("data", [b"", b"no png", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(20)])
def test_file_that_is_no_png(folder, data):
    (folder / "a.png").write_bytes(data)
    assert refused(folder) == "image pngs/a.png cannot be read as a PNG"


def test_damaged_png(folder):
    Image.fromarray(pixels((4, 5))).save(folder / "a.png")
    data = bytearray((folder / "a.png").read_bytes())
    data[data.index(b"IDAT") + 6] ^= 0xFF
    (folder / "a.png").write_bytes(data)
    assert refused(folder) == "image pngs/a.png cannot be read as a PNG"


@pytest.mark.parametrize(
    ("side", "sentence"),
    [(60000, "cannot be read as a PNG"), (10000, "must be 5×4 pixels, not 10000×10000")],
)
def test_png_that_claims_to_be_huge(folder, side, sentence):
    """The header alone is read of such a file, and Pillow's warning is no line of its own."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    (folder / "a.png").write_bytes(data)
    with warnings.catch_warnings(record=True) as warned:
        assert refused(folder) == f"image pngs/a.png {sentence}"
    assert not warned
