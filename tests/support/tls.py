"""Certificates that tests make, and servers that show them."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from http.server import HTTPServer
from pathlib import Path

import pytest


def certificate(folder: Path, name: str, days: int = 1) -> tuple[Path, Path]:
    """A certificate for one name or address, which is its own authority, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, pem = folder / "key.pem", folder / "cert.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days), "-subj", f"/CN={name}"]
    words += ["-addext", f"subjectAltName={'IP' if name[0].isdigit() else 'DNS'}:{name}"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(pem)], check=True, capture_output=True)
    return pem, key


def secured(server: HTTPServer, pem: Path, key: Path) -> None:
    """Before it serves: from now on it shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
