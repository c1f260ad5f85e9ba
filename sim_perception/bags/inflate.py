"""Compressed bytes of bags, decompressed no further than their announced size allows."""

from __future__ import annotations

import threading

import lz4.frame  # type: ignore[import-untyped]
import zstandard

#: Larger messages and chunks are taken for damage, or for an attack on the memory.
MOST_BYTES = 1 << 30
ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_local = threading.local()


class InflateError(ValueError):
    """Compressed bytes are damaged, or are more than they should be."""


def inflate(data: memoryview, compression: str, size: int) -> bytes | memoryview:
    """Return the bytes of a chunk.

    Args:
        data: what is stored.
        compression: ``zstd``, ``lz4`` or ''.
        size: how many bytes must come out.

    Raises:
        InflateError: if they do not.
    """
    if size > MOST_BYTES:
        raise InflateError(f'it announces {size} bytes, the most are {MOST_BYTES}')
    try:
        if compression == 'zstd':
            _check_announced(data, size)
            out: bytes | memoryview = _zstd().decompress(data, max_output_size=size)
        elif compression == 'lz4':
            out = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size + 1)
        elif compression == '':
            out = data
        else:
            raise InflateError(f'unknown compression {compression!r}')
    except (zstandard.ZstdError, RuntimeError, MemoryError) as error:
        raise InflateError(str(error) or 'not enough memory') from error
    if len(out) != size:
        raise InflateError(f'{len(out)} bytes instead of {size}')
    return out


def inflate_message(data: memoryview) -> memoryview:
    """Return the bytes of a message that was compressed alone, or the message as it is.

    Raises:
        InflateError: if it is damaged.
    """
    # No CDR message begins so: its first byte is 0.
    if bytes(data[:4]) != ZSTD_MAGIC:
        return data
    try:
        _check_announced(data, MOST_BYTES)
        return memoryview(inflate_part(data, 'zstd', MOST_BYTES))
    except (zstandard.ZstdError, MemoryError) as error:
        raise InflateError(str(error) or 'not enough memory') from error


def inflate_part(data: memoryview, compression: str, most: int) -> bytes | memoryview:
    """Return as much as can be had of cut or complete bytes, at most ``most``.

    Raises:
        InflateError: if they are damaged.
    """
    try:
        if compression == 'zstd':
            parts, size = [], 0
            with _zstd().stream_reader(data) as stream:
                while size < most and (part := stream.read(min(1 << 20, most - size))):
                    parts.append(part)
                    size += len(part)
            return b''.join(parts)
        if compression == 'lz4':
            return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=most))
    except (zstandard.ZstdError, RuntimeError, MemoryError) as error:
        raise InflateError(str(error) or 'not enough memory') from error
    if compression:
        raise InflateError(f'unknown compression {compression!r}')
    return data[:most]


def _zstd() -> zstandard.ZstdDecompressor:
    """Return this thread's decompressor; to make one takes longer than to use it."""
    if not hasattr(_local, 'zstd'):
        _local.zstd = zstandard.ZstdDecompressor()
    found: zstandard.ZstdDecompressor = _local.zstd
    return found


def _check_announced(data: memoryview, most: int) -> None:
    """Refuse a frame that says that it holds more than it may, before it is allocated."""
    announced = zstandard.frame_content_size(data)
    if announced > most:
        raise InflateError(f'it announces {announced} bytes, the most are {most}')
