"""Slurm's little languages: what they say is understood, what they do not say is unknown, and nothing raises."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.slurm.fields import (
    duration_s,
    epoch,
    gres_gpus,
    integer,
    real,
    text_or_none,
    tres_gpus,
    whole,
)

ANYTHING = st.text(st.characters()) | st.from_regex(r"[0-9:.,KM²٣=/gpures()IDX-]{0,40}", fullmatch=True)
READERS = (text_or_none, integer, real, epoch, duration_s, tres_gpus, gres_gpus)


@given(ANYTHING)
@pytest.mark.slow
def test_nothing_raises_and_all_of_it_fits_json(text):
    for read in READERS:
        found = read(text)
        if not isinstance(found, str):
            msgspec.json.encode(found if not isinstance(found, tuple) else found[0])


@pytest.mark.parametrize("text", ["9" * 5000, "9" * 19, "9" * 400 + "K", "1" * 300 + "-02:00:00", "9" * 18 + "-0", "²",
                                  "٣", "1_000", "+1", "-1", " 1", "1 ", "1e3", "0x10", "½"])  # fmt: skip
def test_what_is_no_number_is_unknown(text):
    assert integer(text) is None and epoch(text) is None and duration_s(text) is None and not whole(text)


@given(st.integers(0, 10**18 - 1))
def test_numbers_come_back(number):
    assert integer(str(number)) == number
    assert epoch(str(number)) == (number or None)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0), ("12", 12), ("007", 7), ("10K", 10_240), ("1.50M", 1_572_864), ("2G", 2 << 30), ("2-4", 2),
        ("1K-2K", 1024), ("2-4K", 2), ("9" * 15 + "P", None), ("", None), ("N/A", None), ("K", None), ("2-", None),
    ],
)  # fmt: skip
def test_counts(text, count):
    assert integer(text) == count


@pytest.mark.parametrize(
    ("text", "number"),
    [("1.90", 1.9), ("0.00", 0.0), ("N/A", None), ("", None), ("nan", None), ("inf", None), ("-Infinity", None),
     ("1e999", None)],
)  # fmt: skip
def test_fractions(text, number):
    assert real(text) == number


@pytest.mark.parametrize("text", ["0", "N/A", "Unknown", "None", "", "2026-11-24T08:13:55", "1795507276.5"])
def test_times_that_are_unknown(text):
    assert epoch(text) is None


def test_a_time():
    assert epoch("1795507276") == 1_795_507_276


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800), ("20:00", 1200), ("1:00:00", 3600), ("01:00:00", 3600), ("1-00:00:00", 86_400),
        ("2-03:04:05", 183_845), ("14-00:00:00", 1_209_600), ("1-2", 93_600), ("1-2:3", 93_780), ("0:00", 0),
        ("UNLIMITED", None), ("INFINITE", None), ("Partition_Limit", None), ("NOT_SET", None), ("INVALID", None),
        ("N/A", None), ("", None), ("1:2:3:4", None), ("a:b", None), ("1-", None), ("-1", None), ("1:00:00x", None),
        ("²:00", None),
    ],
)  # fmt: skip
def test_durations(text, seconds):
    assert duration_s(text) == seconds


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_durations_come_back(days, hours, minutes, seconds):
    total = days * 86_400 + hours * 3600 + minutes * 60 + seconds
    assert duration_s(f"{days}-{hours:02}:{minutes:02}:{seconds:02}") == total
    assert duration_s(f"{days * 24 + hours}:{minutes:02}:{seconds:02}") == total


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("cpu=8,mem=1G,node=1,billing=8,gres/gpu=8", 8),
        ("cpu=8,gres/gpu=8,gres/gpu:h100=8", 8),
        ("gres/gpu:h100=8,cpu=8,gres/gpu=12", 12),
        ("cpu=8,gres/gpu:h100=4,gres/gpu:a100=2", 6),
        ("cpu=8,gres/gpu:h100=0", 0),
        ("gres/gpu=0", 0),
        ("cpu=8,mem=1G", None),
        ("gres/gpumem=80", None),
        ("gres/gpu", None),
        ("gres/gpu=x", None),
        ("license/gpu=3", None),
        ("N/A", None),
        ("", None),
    ],
)
def test_gpus_of_tres(text, gpus):
    assert tres_gpus(text) == gpus


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gpu:h100:8", (8, "h100", None)),
        ("gpu:8", (8, None, None)),
        ("gpu", (1, None, None)),
        ("gpu:h100", (1, "h100", None)),
        ("gres:gpu:h100:8", (8, "h100", None)),
        ("gres/gpu:h100:8", (8, "h100", None)),
        ("gres/gpu:12", (12, None, None)),
        ("gres/gpu:h100=2", (2, "h100", None)),
        ("gres/gpu=2", (2, None, None)),
        ("cpu=2,gres/gpu:h100=2", (2, "h100", None)),
        ("gpu:h100:8(S:0-1)", (8, "h100", None)),
        ("gpu:8(S:0-1)", (8, None, None)),
        ("gpu:h100:7(IDX:0-6)", (7, "h100", "0-6")),
        ("gpu:h100:3(IDX:0-1,5)", (3, "h100", "0-1,5")),
        ("gpu:h100:0(IDX:N/A)", (0, "h100", None)),
        ("gpu:(null):4(IDX:0-3)", (4, None, "0-3")),
        ("gpu:(null):0(IDX:N/A)", (0, None, None)),
        ("gpu:h100:2(IDX:0-1),gpu:a100:1(IDX:2)", (3, "h100", "0-1,2")),
        ("gpu:h100:2(IDX:0,2),shard:8(IDX:0-7),nic:2", (2, "h100", "0,2")),
        ("gpu:1g.10gb:7", (7, "1g.10gb", None)),
        ("gpu:nvidia_h100_80gb_hbm3:8", (8, "nvidia_h100_80gb_hbm3", None)),
        ("shard:h100:8", (0, None, None)),
        ("gpumem:8", (0, None, None)),
        ("(null)", (0, None, None)),
        ("N/A", (0, None, None)),
        ("", (0, None, None)),
        ("gpu:h100:" + "9" * 30, (0, None, None)),
        ("gpu:h100:8(IDX:", (0, None, None)),
    ],
)
def test_gpus_of_gres(text, found):
    assert gres_gpus(text) == found


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), st.integers(0, 64)), min_size=1, max_size=4
    )
)
def test_gres_adds_up(kinds):
    text = ",".join(f"gpu:{kind}:{count}(IDX:0-{count},{count + 2})" for kind, count in kinds)
    count, kind, indices = gres_gpus(text)
    assert count == sum(count for _, count in kinds) and kind == kinds[0][0]
    assert indices == ",".join(f"0-{count},{count + 2}" for _, count in kinds)


@pytest.mark.parametrize("word", ["", "N/A", "(null)", "(none)", "None", "Unknown", "NOT_SET"])
def test_words_for_nothing(word):
    assert text_or_none(word) is None


@given(
    st.text(min_size=1).filter(
        lambda text: not re.fullmatch(r"\W*(n/?a|null|none|unknown|invalid|not_set)\W*", text, re.I)
    )
)
def test_other_words_are_themselves(text):
    assert text_or_none(text) is text
