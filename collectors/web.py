"""The settings that all HTTP sources share, and their checks: address, labels, how labels name nodes."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0, le=3600)]

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MATCHERS = re.compile(
    r'\s*[A-Za-z_]\w*\s*(=~|!~|!=|=)\s*"(\\.|[^"\\])*"\s*(,\s*[A-Za-z_]\w*\s*(=~|!~|!=|=)\s*"(\\.|[^"\\])*"\s*)*'
)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class WebSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Address of an HTTP source, and how requests to it are made."""

    url: str
    """Without the API's own path (/api/v1, /api/v2)."""
    ca: str | None = None
    """File with the certificates to trust; None for those of this computer. Certificates are always verified."""
    token_file: str | None = None
    """File with a bearer token, readable only by its owner."""
    timeout_s: Seconds = 10.0
    """Maximum seconds for one answer, from connecting to its last byte."""

    def __post_init__(self) -> None:
        check_url(self.url, self.token_file is not None)


def check_url(url: str, token: bool) -> None:
    """Raises ValueError for a URL that is no plain http address, and for http if a token would be sent."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"url: {error}") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("url must begin with https:// or http:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url must hold no password; put a token into token_file")
    if parts.query or parts.fragment:
        raise ValueError("url must end before any ? or #")
    if token and parts.scheme == "http" and host not in _LOOPBACK:
        raise ValueError("url must begin with https:// where there is a token_file: a token is not sent in the clear")


def check_label(key: str, label: str) -> None:
    """Raises ValueError for an invalid Prometheus label name."""
    if not _LABEL.fullmatch(label):
        raise ValueError(f"{key}: {label!r} is no label of Prometheus")


def check_node(key: str, pattern: str) -> None:
    """Raises ValueError for an invalid regular expression, or one without a group for the node's name."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{key} is no regular expression: {error}") from None
    if not groups:
        raise ValueError(f"{key} needs a group around the node's name, as in: (gpu[0-9]+)-bmc")


def check_matchers(matchers: str) -> None:
    """Raises ValueError for an invalid list of label matchers; an empty one is valid."""
    if matchers and not _MATCHERS.fullmatch(matchers):
        raise ValueError('matchers must be label matchers, as in: cluster="groningen"')
