"""Headless Chromium for tests that look at pages: pictures of a page until one is right."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import aiohttp
import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
NAMES = ('chromium', 'chromium-browser', 'google-chrome')
_FLAGS = (
    '--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--no-first-run',
    '--remote-debugging-port=0', '--hide-scrollbars',
    # the viewer draws by WebGL; without a graphics card in software
    '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist',
)  # fmt: skip


def find_browser() -> str | None:
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def picture_of(
    url: str,
    is_right: Callable[[Picture], bool],
    profile: Path,
    *,
    size: tuple[int, int] = (1280, 800),
    deadline: float = 240.0,
) -> tuple[bool, Picture]:
    """Open a page and take pictures of it until one is right; returns whether, and the last.

    Args:
        url: of the page.
        is_right: given (H, W, 3) RGB.
        profile: an empty folder for the browser.
        size: of the window.
        deadline: seconds.
    """
    command = [str(find_browser()), *_FLAGS, f'--user-data-dir={profile}']
    process = subprocess.Popen(
        [*command, f'--window-size={size[0]},{size[1]}', url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return asyncio.run(_look(profile, is_right, deadline))
    finally:
        # with all of its children, which its own end may leave behind
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _look(
    profile: Path, is_right: Callable[[Picture], bool], deadline: float
) -> tuple[bool, Picture]:
    end = asyncio.get_running_loop().time() + deadline
    picture = np.zeros((1, 1, 3), np.uint8)
    async with aiohttp.ClientSession() as session:
        page = await _page(session, profile / 'DevToolsActivePort', end)
        async with session.ws_connect(page, max_msg_size=0) as socket:
            number = 0
            while asyncio.get_running_loop().time() < end:
                number += 1
                await socket.send_json({'id': number, 'method': 'Page.captureScreenshot'})
                answer = await socket.receive_json(timeout=deadline)
                data = np.frombuffer(base64.b64decode(answer['result']['data']), np.uint8)
                picture = np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
                if is_right(picture):
                    return True, picture
                await asyncio.sleep(0.5)
    return False, picture


async def _page(session: aiohttp.ClientSession, port_file: Path, end: float) -> str:
    """Return the address at which the browser's page takes commands."""
    while asyncio.get_running_loop().time() < end:
        if port_file.is_file() and (lines := port_file.read_text().split()):
            async with session.get(f'http://127.0.0.1:{lines[0]}/json/list') as answer:
                for target in await answer.json():
                    if target['type'] == 'page':
                        return str(target['webSocketDebuggerUrl'])
        await asyncio.sleep(0.1)
    raise AssertionError('the browser did not start')
