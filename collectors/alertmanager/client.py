"""How Alertmanager is asked."""

from __future__ import annotations

from collectors.http.client import HttpClient, open_web_client

from . import AlertmanagerSettings

#: Most bytes of one answer: 10,000 alerts with long annotations are about 20 MB.
MAX_BYTES = 64 << 20


def open_client(settings: AlertmanagerSettings) -> HttpClient:
    """Connects to nothing yet. Raises SourceFault if the site's certificates are missing or invalid."""
    return open_web_client(settings, "Alertmanager", "/api/v2", too_large="see matchers", max_bytes=MAX_BYTES)
