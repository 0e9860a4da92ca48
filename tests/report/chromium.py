"""Chromium, driven over a pipe by its DevTools protocol: no package is needed, and no port is opened."""

import json
import os
import shutil
import subprocess
import time

PATH = shutil.which("chromium") or shutil.which("google-chrome")


class Chromium:
    """One page of a headless browser.

    Attributes:
        events: (method, parameters) of all that happened in the page.
    """

    def __init__(self, profile, width=1280, dark=False, extra=()):
        theirs, self._out = os.pipe()
        self._in, answer = os.pipe()
        command = [PATH, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--mute-audio"]
        command += ["--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}", *extra, "about:blank"]
        shell = ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{answer}', "bash", *command]
        self._process = subprocess.Popen(
            shell, pass_fds=(theirs, answer), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs)
        os.close(answer)
        self._buffer, self._number, self.events, self._session = b"", 0, [], None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.show_as(width, dark)

    def show_as(self, width, dark):
        """Let the page have a width in pixels, and be dark or light."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(30)
        os.close(self._in)
        os.close(self._out)

    def _receive(self):
        while b"\0" not in self._buffer:
            part = os.read(self._in, 1 << 20)
            if not part:
                raise RuntimeError("the browser has ended")
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def send(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            if "method" in answer:
                self.events.append((answer["method"], answer["params"]))

    def open(self, path):
        self.visit(path.as_uri())

    def visit(self, address):
        self.send("Page.navigate", url=address)
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            answer = self._receive()
            if "method" in answer:
                self.events.append((answer["method"], answer["params"]))

    def run(self, script):
        """Return the value of an expression; a promise is awaited."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, script, seconds=60):
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            if time.monotonic() > end:
                raise TimeoutError(script)
            time.sleep(0.05)
        return value

    def wait(self, condition, seconds=60):
        """Wait until something outside the page is true."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.05)

    def troubles(self):
        """Return errors, console messages and requests for anything but the page itself and what is inside it."""
        found = []
        for method, told in self.events:
            if method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                found.append(told)
            if method == "Network.requestWillBeSent":
                address = told["request"]["url"]
                if not address.startswith(("data:", "file:", "about:")):
                    found.append(address)
        return found
