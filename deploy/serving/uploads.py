"""From the body of a request to the pixels of its image."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, NoReturn

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from deploy.serving.limits import RequestError, lack_of_memory
from paddleseg.data.images import decode_image
from paddleseg.data.transforms.sample import ImageArray
from paddleseg.errors import DataError

__all__ = ["Upload", "decode", "pixel_count"]

# A form's boundaries, headers and small fields come on top of its file.
_FORM_BYTES = 65_536
_FORM_FIELDS = 8
_FORMATS: tuple[tuple[bytes, Callable[[IO[bytes]], Image.Image]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"\xff\xd8\xff", JpegImageFile),
    (b"BM", BmpImageFile),
    (b"RIFF", WebPImageFile),
    (b"II*\0", TiffImageFile),
    (b"MM\0*", TiffImageFile),
)


class Upload:
    """The body of a request, read piece by piece and no further than the limit.

    Args:
        request: Whose body nobody has read yet.
        max_bytes: Of the image file.
    """

    def __init__(self, request: Request, *, max_bytes: int) -> None:
        self._request, self._max_bytes = request, max_bytes
        self._kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._most = max_bytes + (_FORM_BYTES if self._is_form else 0)
        self._received = 0

    @property
    def _is_form(self) -> bool:
        return self._kind == "multipart/form-data"

    async def read(self) -> bytes:
        """Reads an image file, sent as the body or as the one file of a form.

        Raises:
            RequestError: It is too large (413), of another type (415), empty or no valid form (400).
            ClientDisconnect: The client has gone.
        """
        kind = self._kind
        if (
            not self._is_form
            and kind not in ("", "application/octet-stream")
            and not kind.startswith("image/")
        ):
            raise RequestError(
                415,
                f"Content-Type is {kind[:100]!r}; expected multipart/form-data with one file, image/…, or "
                "application/octet-stream",
            )
        declared = self._request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._most:
            self._refuse_size()
        bounded = Request(self._request.scope, self._receive)
        data = await _form_file(bounded) if self._is_form else await bounded.body()
        if len(data) > self._max_bytes:
            self._refuse_size()
        if not data:
            raise RequestError(
                400, "the image is empty (0 bytes); send the file's bytes as the body or in a form"
            )
        return data

    async def client_gone(self) -> None:
        """Returns when the client has closed the connection; to be called after :meth:`read`."""
        while (await self._request.receive())["type"] != "http.disconnect":
            pass

    async def _receive(self) -> Message:
        """Counts the bytes as they come, whatever Content-Length says, or where it is missing."""
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._received += len(message.get("body", b""))
        if self._received > self._most:
            self._refuse_size()
        return message

    def _refuse_size(self) -> NoReturn:
        raise RequestError(
            413,
            f"the upload is larger than {self._max_bytes} bytes; send a smaller image, or start the service "
            "with a larger --max_bytes",
        )


def pixel_count(data: bytes, *, max_pixels: int) -> int:
    """Reads an image's size from its header, without decoding a pixel.

    Raises:
        RequestError: It is no image of a known format (415), damaged (400) or too large (413).
    """
    opener = next((opener for start, opener in _FORMATS if data.startswith(start)), None)
    if opener is None:
        raise RequestError(415, "not a PNG, JPEG, BMP, TIFF or WebP image")
    try:
        width, height = opener(io.BytesIO(data)).size
    except Exception as error:  # damaged headers make Pillow raise nearly anything
        raise RequestError(400, "the image's header is damaged or cut short; send the file again") from error
    if width * height > max_pixels:
        raise RequestError(
            413,
            f"the image has {width}×{height} pixels; at most {max_pixels} are allowed: send a smaller one, "
            "or start the service with a larger --max_pixels",
        )
    return width * height


def decode(data: bytes, *, channels: int, pixels: int) -> ImageArray:
    """Decodes an image exactly as prediction from files does.

    Args:
        data: An image file.
        channels: 3 for RGB, 1 for grey.
        pixels: What :func:`pixel_count` found.

    Returns:
        H×W×channels float32, 0..255.

    Raises:
        RequestError: It cannot be decoded (400), or there is no memory for it now (503).
    """
    try:
        with lack_of_memory():
            image = decode_image(data, "the image", channels)
    except DataError as error:
        raise RequestError(400, str(error)) from error
    if image.shape[0] * image.shape[1] != pixels:
        raise RequestError(400, "the image's header gives another size than its pixels have")
    return image


async def _form_file(request: Request) -> bytes:
    async with request.form(max_files=1, max_fields=_FORM_FIELDS) as form:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise RequestError(400, "the form holds no file; send one image, as curl -F file=@image.png does")
        return await files[0].read()
