"""Something that only this machine should reach: a listener that notes whoever connects."""

from __future__ import annotations

import datetime
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

Answer = Callable[[socket.socket], None]


def say_nothing(_: socket.socket) -> None:
    return None


class Inner:
    """Listens on a loopback address of its own; `visitors` counts who came.

    Args:
        answer: what is done with a connection, in a thread; it stays open until the end.
    """

    def __init__(self, answer: Answer = say_nothing, host: str = "127.0.0.2") -> None:
        self._answer = answer
        self._listener = socket.create_server((host, 0))
        self.host: str = host
        self.port: int = self._listener.getsockname()[1]
        self.visitors = 0
        self._lines: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, name="rig-inner", daemon=True)
        self._thread.start()

    def url(self, scheme: str = "http", path: str = "x") -> str:
        return f"{scheme}://{self.host}:{self.port}/{path}"

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.visitors += 1
            self._lines.append(line)
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        try:
            self._answer(line)
        except OSError:
            pass  # whoever came has gone

    def __enter__(self) -> Inner:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._lines):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
        self._thread.join()


def certificate(folder: Path) -> Path:
    """A key and a certificate that nobody vouches for, of another host."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody else")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), 7, now - day, now + day)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    path = folder / "cert.pem"
    path.write_bytes(key.private_bytes(*form, serialization.NoEncryption()) + pem)
    return path
