"""What large answers take goes back to the system when they are done with."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

_LATER = """
import ctypes, sys
from collectors import memory
class Told(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keep")]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Told
apart = lambda: libc.mallinfo2().hblkhd
if sys.argv[1] == "given back":
    memory.return_large_blocks()
first = bytearray(20 << 20)
del first
before = apart()
later = bytearray(18 << 20)
print((apart() - before) >> 20)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="tells of glibc 2.33 and later")
@pytest.mark.parametrize(("how", "apart_mb"), [("given back", 18), ("left alone", 0)])
def test_a_large_piece_after_another_stands_apart_and_so_goes_back(how, apart_mb):
    assert platform.system() == "Linux"
    done = subprocess.run([sys.executable, "-c", _LATER, how], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(apart_mb), done.stderr
