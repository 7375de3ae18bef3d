"""Tickets and RMAs: plain, as wacht writes them, and loose, as people do."""

from __future__ import annotations

import json

import pytest

from console.health import tickets
from console.health.tickets import Ticket
from console.journal import past_actions
from console.tables.node_health_lines import health_lines
from tests.support import make
from tests.support.journal_entries import HOUR, Book
from tests.support.machine_room import DAY, down, node, rack, site, texts
from tests.support.make import NOW

DAY_20 = 1_763_596_800
"""2025-11-20 00:00 UTC."""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ticket=KubeGPU-1182 since=2025-11-20 rma=4471", Ticket("KubeGPU-1182", "4471", DAY_20)),
        ("rma=4471 ticket=KubeGPU-1182", Ticket("KubeGPU-1182", "4471")),
        ("waits for parts; ticket=INC0012345, since=2025-11-20", Ticket("INC0012345", None, DAY_20)),
        ("XID 79 GPU 3 off the bus [KubeGPU-1182]", Ticket("KubeGPU-1182")),
        ("[KubeGPU-1182] opened 2025-11-20", Ticket("KubeGPU-1182", None, DAY_20)),
        ("bad DIMM A3, RMA 4471", Ticket(None, "4471")),
        ("RMA: SN77120, INC0012345", Ticket("INC0012345", "SN77120")),
        ("swap PSU #4711", Ticket("#4711")),
        (json.dumps({"ticket": "KubeGPU-7", "since": "2025-11-20"}), Ticket("KubeGPU-7", None, DAY_20)),
        (json.dumps({"note": "RMA 4471"}), Ticket(None, "4471")),
        (json.dumps({"switch": "leaf-12", "serial": "ABC-1234", "unit": 7}), None),
        ("since=2025-11-20", None),
        ("reboot at 2025-11-20", None),
        ("ticket= since=2025-13-45", None),
        ("{not json, ticket=A-1}", Ticket("A-1")),
        ("", None),
    ],
)
def test_what_a_text_says(text, found):
    assert tickets.parse_ticket(text) == found


def test_the_comment_counts_before_extra_and_reason():
    one = make.node(comment="ticket=A-1", extra="ticket=B-2", reason="[CX-3]")
    assert tickets.ticket_of(one) == Ticket("A-1", found_in="comment")
    assert tickets.ticket_of(make.node(extra="ticket=B-2", reason="[CX-3]")) == Ticket("B-2", found_in="extra")
    assert tickets.ticket_of(make.node(reason="[CX-3]")) == Ticket("CX-3", found_in="reason")
    assert tickets.ticket_of(make.node(comment="gpu rack")) is None


def test_its_age_is_told_or_said_to_be_unknown():
    now = DAY_20 + 5 * DAY
    assert Ticket("A-1", "4471", DAY_20).text_at(now) == "A-1, RMA 4471, 5 d old"
    assert Ticket("A-1").text_at(now) == "A-1, age unknown: it has no date"
    assert Ticket("A-1").text_at(now, DAY_20 + 2 * DAY) == "A-1, there for 3 d at least"
    assert Ticket("A-1", None, DAY_20).text_at(now, DAY_20 + 2 * DAY) == "A-1, 5 d old", "its own date counts"


def test_since_when_it_stands_there_is_told_by_the_reason_and_the_journal():
    since = int(NOW - 9 * HOUR)
    drained = make.node("gpu0001", "IDLE+DRAIN", reason="[CX-3] DIMM", reason_at=since, comment=None)
    found = tickets.ticket_of(drained)
    assert tickets.known_since(drained, found) == since
    noted = make.node("gpu0002", comment="ticket=CX-4 spare")
    told = tickets.ticket_of(noted)
    assert tickets.known_since(noted, told) is None, "Slurm does not say when a comment was written"
    book = Book().act("a", "comment", [make.node("gpu0002", comment="x")], ago=5 * HOUR,
                      values={"gpu0002": "ticket=CX-4 spare"})  # fmt: skip
    assert tickets.known_since(noted, told, past_actions.ticketed(book.records)) == NOW - 5 * HOUR
    # It stood there before somebody wrote something else beside it; a drain says what stood in the reason.
    book = Book().act("a", "comment", [noted], ago=3 * HOUR, values={"gpu0002": "ticket=CX-4 more"})
    assert past_actions.ticketed(book.records) == {("gpu0002", "CX-4"): NOW - 3 * HOUR}
    book.act("b", "comment", [noted], ago=2 * HOUR, values={"gpu0002": "none of it"})
    assert past_actions.ticketed(book.records) == {}, "taken away since"
    book.act("c", "drain", [make.node("gpu0003")], reason="[CX-9] link", ago=HOUR)
    book.act("d", "drain", [make.node("gpu0004")], reason="[CX-9] link", states="failed")
    assert past_actions.ticketed(book.records) == {("gpu0003", "CX-9"): NOW - HOUR}


def test_it_is_told_on_the_screen_of_the_node():
    one = make.node("gpu0002", comment="ticket=CX-4")
    cluster = make.cluster(nodes=[one])
    for ticketed, said in (({}, "CX-4, age unknown: it has no date"),
                           ({("gpu0002", "CX-4"): NOW - 3 * DAY}, "CX-4, there for 3 d at least"),
                           ({("gpu0009", "CX-4"): NOW - 3 * DAY}, "age unknown")):  # fmt: skip
        (line,) = health_lines(cluster, "gpu0002", NOW, ticketed)
        assert said in "".join(text for text, _ in line.spans)


def test_a_ticket_in_the_comment_is_a_ticket_of_a_forgotten_drain():
    old = [node(n, "IDLE+DRAIN", 9 * DAY, "look at it", "jdv", **more)
           for n, more in ((1, {}), (2, {"comment": "ticket=KubeGPU-9"}), (3, {"extra": "rma=4471"}))]  # fmt: skip
    assert texts(site(*rack(old))) == ["3 drained > 7 days, 1 without a ticket: gpu[0001-0003]"]
    assert down(1).comment is None and NOW
