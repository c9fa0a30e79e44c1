"""Images of every kind come out as the same 8-bit pixels, and a broken file as one sentence."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clnf_engine.errors import ImageFileError
from clnf_engine.io import images
from clnf_engine.io.image_headers import read_header
from clnf_engine.io.images import read_image

Pixels = NDArray[Any]


def photo(height: int = 37, width: int = 52) -> NDArray[np.uint8]:
    """A smooth colour picture without symmetry, BGR."""
    noise = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def encoded(extension: str, pixels: Pixels) -> bytes:
    good, data = cv2.imencode(extension, pixels)
    assert good
    return data.tobytes()


def stored(folder: Path, data: bytes, name: str = "image") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def gray_of(bgr: Pixels) -> Pixels:
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tiff", ".ppm"])
def test_colour_image_keeps_its_pixels_in_rgb_order(tmp_path: Path, extension: str) -> None:
    image = read_image(stored(tmp_path, encoded(extension, photo())))
    np.testing.assert_array_equal(image.rgb, photo()[:, :, ::-1])
    np.testing.assert_array_equal(image.gray, gray_of(photo()))
    assert image.rgb.dtype == image.gray.dtype == np.uint8


def test_grey_image_keeps_its_levels(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(8, 32)
    image = read_image(stored(tmp_path, encoded(".png", levels)))
    np.testing.assert_array_equal(image.gray, levels)
    np.testing.assert_array_equal(image.rgb, np.stack([levels] * 3, axis=2))


def test_jpeg_is_decoded_as_opencv_decodes_it(tmp_path: Path) -> None:
    path = stored(tmp_path, encoded(".jpg", photo()), "a.jpg")
    image = read_image(path)
    np.testing.assert_array_equal(image.gray, gray_of(cv2.imread(str(path))))
    assert image.path == path


def test_arrays_are_contiguous_and_read_only(tmp_path: Path) -> None:
    image = read_image(stored(tmp_path, encoded(".png", photo())))
    for array in (image.rgb, image.gray):
        assert array.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 0


@pytest.mark.parametrize("pixels", [photo(), photo()[:, :, 0]], ids=["colour", "grey"])
@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_16_bit_image_equals_the_8_bit_one(tmp_path: Path, pixels: Pixels, extension: str) -> None:
    deep = read_image(stored(tmp_path, encoded(extension, pixels.astype(np.uint16) * 257), "deep"))
    plain = read_image(stored(tmp_path, encoded(extension, pixels), "plain"))
    np.testing.assert_array_equal(deep.rgb, plain.rgb)
    np.testing.assert_array_equal(deep.gray, plain.gray)


def test_16_bit_levels_are_rounded(tmp_path: Path) -> None:
    levels = np.array([[0, 128, 129, 257, 32767, 65406, 65407, 65535]], np.uint16)
    image = read_image(stored(tmp_path, encoded(".png", levels)))
    assert image.gray.tolist() == [[0, 0, 1, 1, 127, 254, 255, 255]]


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (np.float32([0, 0.2, 0.6, 1]), [0, 51, 153, 255]),
        (np.float32([0, 0.2, 0.4, 0.6]), [0, 51, 102, 153]),
        (np.float32([-3, 0, 51, 255]), [0, 0, 51, 255]),
        (np.float32([0, 1, 2, 5]), [0, 51, 102, 255]),
        (np.float32([np.nan, -np.inf, np.inf, 0.2]), [0, 0, 255, 51]),
        (np.array([0, 0x7F800001, 0x3E4CCCCD, 0x3F800000], np.uint32).view(np.float32), [0, 0, 51, 255]),
        (np.float64([0, 0.2, 0.6, 1]), [0, 51, 153, 255]),
        (np.int16([-500, 0, 200, 1000]), [0, 0, 51, 255]),
        (np.int32([0, 0, 20_000, 100_000]), [0, 0, 51, 255]),
        (np.float32([0, 0, 0, 0]), [0, 0, 0, 0]),
    ],
    ids=str,
)
def test_other_depths_have_1_or_their_maximum_as_white(tmp_path: Path, values: Pixels, levels: list[int]) -> None:
    image = read_image(stored(tmp_path, encoded(".tiff", values[None, :])))
    assert image.gray.tolist() == [levels]


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_transparency_is_dropped(tmp_path: Path, depth: type) -> None:
    factor = 1 if depth is np.uint8 else 257
    alpha = np.zeros((37, 52, 1), np.uint8)
    pixels = np.concatenate([photo(), alpha], axis=2).astype(depth) * depth(factor)
    image = read_image(stored(tmp_path, encoded(".png", pixels)))
    np.testing.assert_array_equal(image.rgb, photo()[:, :, ::-1])


UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG with an EXIF segment that holds nothing but the orientation."""
    tiff = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0)
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_obeyed(tmp_path: Path, orientation: int) -> None:
    jpeg = encoded(".jpg", photo())
    plain = read_image(stored(tmp_path, jpeg, "plain.jpg"))
    turned = read_image(stored(tmp_path, with_orientation(jpeg, orientation), "turned.jpg"))
    np.testing.assert_array_equal(turned.rgb, UPRIGHT[orientation](plain.rgb))
    np.testing.assert_array_equal(turned.gray, UPRIGHT[orientation](plain.gray))


@pytest.mark.parametrize("name", ["Gesicht größer.png", "顔 写真.png", "лицо\u0301 😀.png"])
def test_unicode_paths(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "ж"
    folder.mkdir()
    path = stored(folder, encoded(".png", photo()), name)
    np.testing.assert_array_equal(read_image(str(path)).gray, gray_of(photo()))


def test_one_pixel(tmp_path: Path) -> None:
    assert read_image(stored(tmp_path, encoded(".png", np.full((1, 1), 7, np.uint8)))).gray.tolist() == [[7]]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b"")


def resized_jpeg(width: int, height: int) -> bytes:
    """A JPEG whose frame header claims another size."""
    data = bytearray(encoded(".jpg", photo()))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def damaged_png() -> bytes:
    data = bytearray(encoded(".png", photo()))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


BROKEN = {
    "empty": (b"", "the file is empty"),
    "text": (b"not an image\n" * 10, "not an image that OpenCV can read"),
    "binary": (bytes(range(256)) * 8, "not an image that OpenCV can read"),
    "png magic only": (b"\x89PNG\r\n\x1a\n", "byte 8: the file ends before the image does"),
    "jpeg magic only": (b"\xff\xd8\xff", "byte 3: the file ends before the image does"),
    "png of 16 gigapixels": (png(1 << 17, 1 << 17), "131072×131072 pixels; expected at most"),
    "png just too large": (png((1 << 14) + 1, 1 << 14), "16385×16384 pixels; expected at most"),
    "jpeg of 4 gigapixels": (resized_jpeg(65535, 65535), "65535×65535 pixels; expected at most"),
    "ppm of 4 gigapixels": (b"P6\n65536 65536\n255\n" + bytes(100), "pixels; expected at most"),
    "damaged png": (damaged_png(), "the checksum of a PNG chunk is wrong"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_file_is_refused_in_one_sentence(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, problem = BROKEN[kind]
    path = stored(tmp_path, data, "broken.png")
    with pytest.raises(ImageFileError) as caught:
        read_image(path)
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # nothing from OpenCV, libpng or libjpeg either


@pytest.mark.parametrize("extension", [".png", ".jpg", ".bmp", ".tiff", ".webp"])
def test_truncated_file_is_refused_wherever_it_ends(
    tmp_path: Path, extension: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encoded(extension, photo())
    for size in [*range(1, len(data) - 1, 41), len(data) - 1]:
        with pytest.raises(ImageFileError):
            read_image(stored(tmp_path, data[:size]))
    assert capfd.readouterr() == ("", "")


def test_truncation_is_named_with_its_place(tmp_path: Path) -> None:
    data = encoded(".jpg", photo())
    with pytest.raises(ImageFileError, match=r"byte 700: the file ends before the image does; it is truncated"):
        read_image(stored(tmp_path, data[:700]))


def test_progressive_jpeg_and_trailing_bytes_are_fine(tmp_path: Path) -> None:
    good, data = cv2.imencode(".jpg", photo(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert good
    image = read_image(stored(tmp_path, data.tobytes() + b"trailing bytes"))
    assert image.gray.shape == (37, 52)


def test_missing_file_folder_and_oversized_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageFileError, match="no such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(ImageFileError, match="a folder; expected an image"):
        read_image(tmp_path)
    monkeypatch.setattr(images, "_MAX_FILE_BYTES", 100)
    with pytest.raises(ImageFileError, match="expected an image of at most 100"):
        read_image(stored(tmp_path, encoded(".png", photo())))


def test_pixel_limit_holds_for_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 37 * 52 - 1)
    for extension in (".png", ".jpg", ".bmp", ".tiff", ".webp"):
        with pytest.raises(ImageFileError, match=r"has 52×37 pixels; expected at most 1923"):
            read_image(stored(tmp_path, encoded(extension, photo())))


SIZES = ((70, 64), (64, 90))
KINDS: dict[str, tuple[list[int], type]] = {
    # IMWRITE parameters and depth; the encoder that OpenCV's extension names
    ".png": ([], np.uint16),
    ".jpg": ([], np.uint8),
    ".jpeg": ([cv2.IMWRITE_JPEG_PROGRESSIVE, 1], np.uint8),
    ".tiff": ([], np.float64),
    ".tif": ([], np.uint16),
    ".bmp": ([], np.uint8),
    ".gif": ([], np.uint8),
    ".webp": ([cv2.IMWRITE_WEBP_QUALITY, 101], np.uint8),
    ".jp2": ([], np.uint16),
    ".avif": ([], np.uint8),
    ".ras": ([], np.uint8),
    ".hdr": ([], np.float32),
    ".ppm": ([], np.uint16),
    ".pgm": ([], np.uint8),
    ".pbm": ([], np.uint8),
    ".pfm": ([], np.float32),
    ".pam": ([], np.uint8),
}


@pytest.mark.parametrize("extension", KINDS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_size_is_known_before_decoding(extension: str, size: tuple[int, int]) -> None:
    """As OpenCV finds it, with no less memory than the result takes."""
    parameters, depth = KINDS[extension]
    pixels = photo(*size).astype(depth)
    if extension in (".pgm", ".pbm"):
        pixels = pixels[:, :, 0]
    good, data = cv2.imencode(extension, pixels, parameters)
    assert good
    header = read_header(Path("image"), data.tobytes())
    decoded = cv2.imdecode(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    assert (header.height, header.width) == decoded.shape[:2] == size
    assert 2 * decoded.nbytes <= header.cost * size[0] * size[1]


def test_memory_is_limited_by_bytes_not_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 37 * 52 * 24)
    read_image(stored(tmp_path, encoded(".png", photo())))
    for depth in (np.float32, np.float64):
        path = stored(tmp_path, encoded(".tiff", photo().astype(depth)))
        with pytest.raises(
            ImageFileError, match=r"has 52×37 pixels of this kind, which take \d+ bytes to read; expected"
        ):
            read_image(path)


def peak_of(function: Callable[[], object]) -> int:
    """Most memory that is in use at once while a function runs, bytes above that before."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("this system does not tell peaks of memory")

    def status(name: str) -> int:
        return 1024 * int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0])

    before = status("VmRSS")
    function()
    return status("VmHWM") - before


@pytest.mark.parametrize("extension", [".jpg", ".jpeg", ".tiff", ".png", ".jp2", ".avif"])
def test_reading_takes_no_more_memory_than_was_reckoned_with(extension: str, tmp_path: Path) -> None:
    parameters, depth = KINDS[extension]
    pixels = np.zeros((1500, 1500, 3), depth)
    good, data = cv2.imencode(extension, pixels, parameters)
    assert good
    path = stored(tmp_path, data.tobytes())
    reckoned = read_header(path, data.tobytes()).cost * 1500 * 1500 + 2 * len(data)
    assert peak_of(lambda: read_image(path)) < reckoned + (16 << 20)


def test_libjpeg_says_nothing_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded(".jpg", photo())
    read_image(stored(tmp_path, data[:-2] + bytes(58) + data[-2:]))
    assert capfd.readouterr() == ("", "")


@given(
    start=st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0"]),
    rest=st.binary(max_size=200),
)
def test_arbitrary_bytes_give_an_image_or_its_error(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes
) -> None:
    path = stored(tmp_path_factory.getbasetemp(), start + rest, "arbitrary")
    try:
        read_image(path)
    except ImageFileError as error:
        assert str(path) in str(error)


def test_opencv_log_level_is_restored(tmp_path: Path) -> None:
    log: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    before = log.getLogLevel()
    with pytest.raises(ImageFileError):
        read_image(stored(tmp_path, b"not an image"))
    assert log.getLogLevel() == before


def test_grey_levels_are_those_the_reference_fit_saw(shared: Path) -> None:
    for name in ("sample1", "sample2"):
        with np.load(shared / "golden" / f"{name}.npz") as golden:
            np.testing.assert_array_equal(read_image(shared / "samples" / f"{name}.jpg").gray, golden["gray"])
