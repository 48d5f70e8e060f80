"""A headless Chromium for tests, driven by the DevTools protocol over two pipes: no port, no extra package."""

import base64
import contextlib
import fcntl
import io
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

FLAGS = (  # noqa: SIM905
    "--headless=new --no-sandbox --disable-dev-shm-usage --use-gl=angle --use-angle=swiftshader "
    "--enable-unsafe-swiftshader --ignore-gpu-blocklist --disable-background-networking --no-first-run "
    "--disable-component-update --disable-sync --disable-quic --hide-scrollbars --remote-debugging-pipe"
).split()
INSTALL = "apt-get install chromium"


def find() -> str:
    """The browser's path; the test is skipped where there is none."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip(f"needs headless Chromium: {INSTALL}")
    return path


class Chromium:
    """One page in a headless browser with a profile of its own; nothing of it is left after the `with` block.

    requests: the URLs it asked for; errors: what its JavaScript threw.
    """

    def __init__(self, size: tuple[int, int] = (640, 480)):
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._size, self._last, self._rest = size, 0, b""

    def __enter__(self) -> "Chromium":
        program = find()
        self._profile = tempfile.mkdtemp(prefix="chromium-test-")
        to_read, self._write = self._pipe()
        self._read, to_write = self._pipe()
        window = f"--window-size={self._size[0]},{self._size[1]}"
        arguments = [program, *FLAGS, f"--user-data-dir={self._profile}", window, "about:blank"]
        null = os.open(os.devnull, os.O_RDWR)
        pairs = (null, 0), (null, 1), (null, 2), (to_read, 3), (to_write, 4)
        actions = [(os.POSIX_SPAWN_DUP2, *pair) for pair in pairs]
        try:
            self.pid = os.posix_spawn(program, arguments, os.environ, file_actions=actions, setpgroup=0)
        finally:
            for descriptor in (null, to_read, to_write):
                os.close(descriptor)
        try:
            self._attach()
        except BaseException:
            self.__exit__()
            raise
        return self

    @staticmethod
    def _pipe() -> tuple[int, int]:
        """Both ends as descriptors from 10 on, so that 3 and 4 are free for the browser."""
        low = os.pipe()
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10) for descriptor in low]
        for descriptor in low:
            os.close(descriptor)
        return high[0], high[1]

    def _attach(self) -> None:
        self._session = None
        pages = []
        for _ in range(100):
            pages = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
            if pages:
                break
            time.sleep(0.05)
        target = pages[0]["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")
        w, h = self._size
        self.call("Emulation.setDeviceMetricsOverride", width=w, height=h, deviceScaleFactor=1, mobile=False)

    def call(self, method: str, **parameters) -> dict:
        """Send one command and wait for its answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _receive(self, timeout: float = 60.0) -> dict:
        end = time.monotonic() + timeout
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else b""
            if not data:
                raise TimeoutError(f"chromium (pid {self.pid}) said nothing for {timeout} s, or it ended")
            self._rest += data
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: dict) -> None:
        parameters = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(parameters["exceptionDetails"])[:400])

    def open(self, url: str, offline: bool = False) -> None:
        """Go to url and wait until its 3-D viewer stands."""
        if offline:
            nothing = {"latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
            self.call("Network.emulateNetworkConditions", offline=True, **nothing)
        self.call("Page.navigate", url=url)
        self.wait("document.readyState == 'complete' && typeof viewer != 'undefined'")

    def evaluate(self, expression: str):
        """The value of a JavaScript expression on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def run(self, code: str) -> None:
        """Run JavaScript whose value does not matter."""
        self.evaluate(f"{{ {code}; }} 0")

    def wait(self, condition: str, timeout: float = 30.0) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + timeout
        while not self.evaluate(condition):
            if time.monotonic() > end:
                raise TimeoutError(f"chromium: {condition} was not true after {timeout} s; errors: {self.errors}")
            time.sleep(0.05)

    def screenshot(self) -> np.ndarray:
        """The page as pixels (h, w, 3), uint8."""
        from PIL import Image

        png = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def left(self) -> list[str]:
        """The command lines of its processes that still live (a zombie whose parent does not wait is none)."""
        out = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                state, _, group = (process / "stat").read_text().rsplit(")", 1)[1].split()[:3]
                command = (process / "cmdline").read_text().replace("\0", " ")
            except OSError:  # it ended meanwhile
                continue
            if state != "Z" and (int(group) == self.pid or self._profile in command):
                out.append(command)
        return out

    def __exit__(self, *_) -> None:
        try:
            self._session = None
            os.write(self._write, json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
        except OSError:
            pass
        end = time.monotonic() + 10.0
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.killpg(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                break
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):  # helpers of the browser, if they outlive it
            os.killpg(self.pid, signal.SIGKILL)
        for descriptor in (self._read, self._write):
            os.close(descriptor)
        shutil.rmtree(self._profile, ignore_errors=True)
