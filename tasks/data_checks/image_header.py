"""What the header of an image file tells, read without decoding the image."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

from PIL import Image

from normlib.image_size import ImageSizeError, most_pixels, too_many_pixels, why_refused

# Pillow knows more, some of which start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_GREY = 0
_PIXELS = {
    "1": "1-bit grey",
    "L": "8-bit grey",
    "LA": "grey and alpha",
    "P": "palette",
    "PA": "palette and alpha",
    "I": "32-bit grey",
    "F": "32-bit floating-point",
}
_EXIF_ORIENTATION = 0x0112
_EXIF_TURNED = (5, 6, 7, 8)  # by a quarter: width and height change places


class ImageHeader(NamedTuple):
    """The header of an image file.

    Attributes:
        width: As stored.
        height: As stored.
        kind: Format, such as "PNG".
        single: Whether a pixel is one number of at most 8 bits which is read as it is stored: a
            grey value or an index of a palette.
        pixels: What they are, such as "16-bit grey" or "RGB".
        turned: Whether EXIF data ask to turn the image by a quarter.
    """

    width: int
    height: int
    kind: str
    single: bool
    pixels: str
    turned: bool = False


def read_header(file: BinaryIO) -> ImageHeader:
    """Read the header of an image file.

    Args:
        file: Seekable, at any position.

    Raises:
        OSError: It is no image file of a format in `FORMATS`, or a damaged one.
        ValueError: As OSError, from Pillow.
        ImageSizeError: A ValueError: it has more pixels than are read.
    """
    file.seek(0)
    head = file.read(26)
    file.seek(0)
    with _opened(file) as image:
        if image.width * image.height > most_pixels():
            raise ImageSizeError(too_many_pixels(*image.size))
        pixels = _PIXELS.get(image.mode, image.mode)
        if image.mode.startswith("I;16"):
            pixels = "16-bit grey"
        single = image.mode in ("1", "L", "P")
        if head.startswith(_PNG) and head[25] == _PNG_GREY:
            pixels = f"{head[24]}-bit grey"
            single &= head[24] not in (2, 4)  # Pillow spreads these over 0 to 255
        return ImageHeader(*image.size, image.format or "", single, pixels, _is_turned(image))


def _opened(file: BinaryIO) -> Image.Image:
    try:
        return Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        file.seek(0)
        raise ImageSizeError(why_refused(file.read()) or str(error)) from error


def _is_turned(image: Image.Image) -> bool:
    if "exif" not in image.info:  # where it is not in the header, Pillow would decode the image
        return False
    try:
        return image.getexif().get(_EXIF_ORIENTATION) in _EXIF_TURNED
    except (ValueError, SyntaxError):  # unreadable EXIF data, which the loading ignores
        return False
