"""The private names that wacht uses, by the module that uses them."""

from __future__ import annotations

from typing import NamedTuple


class PrivateName(NamedTuple):
    """A private name of another package, and what depends on it."""

    module: str
    """The only product module that may use it."""
    purpose: str
    """What that module does with it."""
    owner: str
    """Where the name is defined: `package.module` or `package.module:Class`."""
    name: str
    parameters: str | None = None
    """The parameters of a method that is called or overridden; None for an attribute."""


_EXT = "widgets/textual_ext"
_APP, _SCREEN = "textual.app:App", "textual.screen:Screen"
_ERRORS = (f"{_EXT}/app_errors.py", "ends the app on an error without printing local variables")
_OUTPUT = (f"{_EXT}/app_output.py", "takes the frames of the app")
_CONTENTS = (f"{_EXT}/screen_contents.py", "reads what is on the screen")
_CALLBACKS = (f"{_EXT}/screen_callbacks.py", "keeps the callbacks of a screen that goes")
_INSTALLED = (f"{_EXT}/installed_screens.py", "finds the screens of hidden clusters")
_TOASTS = (f"{_EXT}/toasts.py", "decides which notifications are shown")
_KEYS = (f"{_EXT}/key_parser.py", "makes keys, pastes and clicks of what the terminal sends")
_DRIVER = (f"{_EXT}/linux_driver.py", "takes the size from the terminal, and the mouse in cells")
_BROWSER = (f"{_EXT}/browser_driver.py", "ends with the browser's server, and bounds the size")
_STRIPS = (f"{_EXT}/strip_cache.py", "makes strips without their caches")
_HTTP = ("collectors/http/connection.py", "gives httpx a connection with a deadline")

NAMES = (
    PrivateName(*_ERRORS, _APP, "_handle_exception", "self, error"),
    PrivateName(*_ERRORS, _APP, "_fatal_error", "self"),
    PrivateName(*_ERRORS, _APP, "_close_messages_no_wait", "self"),
    PrivateName(*_OUTPUT, "textual._compositor", "ChopsUpdate"),
    PrivateName(*_OUTPUT, "textual._compositor", "LayoutUpdate"),
    PrivateName(*_OUTPUT, _APP, "_display", "self, screen, renderable"),
    PrivateName(*_OUTPUT, _APP, "_context", "self"),
    PrivateName(*_OUTPUT, _APP, "_driver"),
    PrivateName(*_OUTPUT, _APP, "_running"),
    PrivateName(*_OUTPUT, _APP, "_closed"),
    PrivateName(*_OUTPUT, _APP, "_batch_count"),
    PrivateName(*_CONTENTS, "textual._compositor", "ChopsUpdate"),
    PrivateName(*_CONTENTS, "textual._compositor", "LayoutUpdate"),
    PrivateName(*_CONTENTS, "textual._compositor:Compositor", "render_update", "self, full, screen_stack, simplify"),
    PrivateName(*_CONTENTS, "textual._compositor:Compositor", "render_strips", "self, size"),
    PrivateName(*_CONTENTS, _SCREEN, "_compositor"),
    PrivateName(*_CONTENTS, _APP, "_background_screens"),
    PrivateName(*_CALLBACKS, _SCREEN, "_message_loop_exit", "self"),
    PrivateName(*_CALLBACKS, _SCREEN, "_invoke_later", "self, callback, sender"),
    PrivateName(*_CALLBACKS, _SCREEN, "_callbacks"),
    PrivateName(*_INSTALLED, _APP, "_installed_screens"),
    PrivateName(*_INSTALLED, _APP, "_screen_stacks"),
    PrivateName(*_TOASTS, _APP, "_notifications"),
    PrivateName(*_TOASTS, _APP, "_refresh_notifications", "self"),
    PrivateName(*_TOASTS, "textual.notifications:Notifications", "_notifications"),
    PrivateName(*_KEYS, "textual._ansi_sequences", "ANSI_SEQUENCES_KEYS"),
    PrivateName(*_KEYS, "textual._xterm_parser", "XTermParser"),
    PrivateName(*_KEYS, "textual._xterm_parser:XTermParser", "_sequence_to_key_events", "self, sequence, alt"),
    PrivateName(*_KEYS, "textual._xterm_parser:XTermParser", "parse_mouse_code", "self, code"),
    PrivateName(*_DRIVER, "textual.drivers.linux_driver:LinuxDriver", "_get_terminal_size", "self"),
    PrivateName(*_DRIVER, "textual.drivers.linux_driver:LinuxDriver", "_enable_mouse_pixels", "self"),
    PrivateName(*_BROWSER, "textual.drivers.web_driver:WebDriver", "_write"),
    PrivateName(*_BROWSER, "textual.drivers.web_driver:WebDriver", "_size"),
    PrivateName(*_BROWSER, "textual.drivers.web_driver:WebDriver", "_app"),
    PrivateName(*_BROWSER, "textual.drivers.web_driver:WebDriver", "_loop"),
    PrivateName(*_STRIPS, "textual.strip:Strip", "__init__", "self, segments, cell_length"),
    PrivateName(*_STRIPS, "textual.strip:Strip", "divide", "self, cuts"),
    PrivateName(*_STRIPS, "textual.strip:Strip", "_segments"),
    PrivateName(*_STRIPS, "textual.strip:Strip", "_cell_length"),
    PrivateName(*_STRIPS, "textual.strip:Strip", "_render_cache"),
    PrivateName(*_STRIPS, "textual.strip:Strip", "_link_ids"),
    PrivateName(*_STRIPS, "textual.strip:Strip", "_cell_count"),
    PrivateName(*_HTTP, "httpx:HTTPTransport", "_pool"),
)
