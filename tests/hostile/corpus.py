"""What anybody may write into a job name, a comment, a reason, a label, and what it would do if it were believed."""

from __future__ import annotations

CORPUS = {
    "escape": "red\x1b[31;5m\x1b[2Jalarm\x07",
    "c1": "a\x9b31mb\x9d52;c;ZXZpbA==\x9cc\x90+q\x85d",
    "osc8": "\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\",
    "osc9": "\x1b]9;pay attention\x07\x1b]777;notify;evil;x\x1b\\\x1b]0;title\x07",
    "osc52": "clip\x1b]52;c;ZXZpbA==\x07board",
    "dcs": "\x1bP+q544e\x1b\\\x1bP$qm\x1b\\\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\",
    "unterminated": "never ends \x1b]52;c;ZXZp",
    "cut": "ends in the middle \x1b[",
    "modes": "\x1b[?1049l\x1b[?1000h\x1b[?2004l\x1bc\x1b(0\x0e\x1b#8\x1b[?2026h",
    "ask": "\x1b[6n\x1b[c\x1b[>q\x1b[21t\x1b]11;?\x07\x05",
    "bidi": "abc\u202egnp.exe\u2066\u2069\u061c\u200f",
    "zero": "a\u200bb\u200dc\ufeffd\u2060e\u00adf\u034fg\u3164h\U000e0041\ufe0f",
    "marks": "Z" + "\u0301\u0336" * 400,
    "thai": "\u0e01" + "\u0e49\u0e47" * 400,
    "jamo": "\u1161" * 500,
    "tones": "\U0001f44d" + "\U0001f3fd" * 300,
    "wide": "训练🚀モデル" * 60,
    "flags": "\U0001f1f3" * 301,
    "markup": "[bold red]x[/] [/] [@click=app.quit]y[/] [link=file:///etc/passwd]z[/]",
    "newline": "evil\n99999|RUNNING|root|x\r\nNodeName=forged State=DOWN\u2028x\u2029y\x0b\x0cz",
    "return": "over\rwritten\ttab\x08\x08\x7f\x00nul",
    "surrogate": "latin\udce9\udcff",
    "noncharacter": "\ufffe\uffff\U0001fffe\ufdd0\ue000\U0010ffff",
    "option": "-oProxyCommand=touch /tmp/wacht-was-here",
    "shell": "a;b $(touch /tmp/x) `id` && c | d > e ../../etc ' \" \\",
    "all": "ALL",
    "formula": "=cmd|' /C calc'!A0",
    "format": "%s%n{0}{x.__class__} ${jndi:ldap://x}",
    "number": "²٣1e999 NaN 99999999999999999999999999999999",
    "digit": "²",
    "long": "long-" + "x" * 20_000,
    "empty": "",
}  # fmt: skip
HUGE = ("10 MB \x1b[2J [bold]" + "x\u0301漢 " * 2_000_000)[:5_000_000]
"""Ten million bytes."""
#: As an argument of a command and in an environment, where no NUL can stand.
ARGUMENTS = {key: text.replace("\0", "") for key, text in CORPUS.items()}
