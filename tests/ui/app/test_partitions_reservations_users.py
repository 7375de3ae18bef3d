"""Partitions, reservations and users from the console: typed, taken from the cursor, seen, and told of until undone."""

from __future__ import annotations

import pytest

from tests.support.operator import console


@pytest.mark.slow
async def test_the_cursor_of_the_partitions_screen_names_the_target_and_the_reminder_stands_until_it_is_up():
    async with console() as op:
        await op.press("7")
        await op.arrive({"partitions", "reservations"})
        op.app.screen.upper.select("long")
        assert op.app.screen.targets("partition") == ("long",) and op.app.screen.targets("reservation") == ()
        assert (
            op.app.acting.refusal("partition-up") == "it is UP already"
            and op.app.acting.refusal("partition-down") is None
        )
        op.sees("partition-down, -up")
        await op.command("partition-down")
        await op.confirm(reason="cooling", answer="y")
        await op.until(lambda: op.machine.partitions()["long"].state == "DOWN", "the partition is shut")
        await op.look_again()
        await op.comes("long is DOWN for")
        assert op.app.session.still_closed.partitions["long"].why == "cooling"
        await op.press("1")
        await op.comes("long is DOWN for")
        await op.press("7", "Z")
        await op.confirm(answer="y")
        await op.until(lambda: op.machine.partitions()["long"].state == "UP", "the partition is open")
        await op.look_again()
        await op.until(lambda: not op.app.session.still_closed.partitions, "nothing is left")
        op.sees_not("DOWN for")


@pytest.mark.slow
async def test_a_reservation_is_typed_and_proven_by_the_reservations():
    async with console() as op:
        await op.press("7")
        await op.arrive({"partitions", "reservations"})
        name = next(name for name, node in op.machine.nodes().items() if not node.reservation)
        words = f"{name} --name fw --start now --for 2h --flags MAINT,IGNORE_JOBS new firmware"
        op.app.acting.run_command("reserve", words.split())  # as the line hands it over: typing all of it takes seconds
        await op.comes("a maintenance: the nodes show it")
        await op.confirm(answer="y")
        await op.until(lambda: "fw" in op.machine.reservations(), "the reservation")
        await op.look_again()
        await op.comes(f"reserved: {name}")
        await op.press("tab")
        op.app.screen.lower.select("fw")
        assert op.app.screen.targets("reservation") == ("fw",)
        await op.command("unreserve")
        await op.comes("no job asks for it")
        await op.confirm(answer="y")
        await op.until(lambda: "fw" not in op.machine.reservations(), "it is deleted")


@pytest.mark.slow
async def test_a_job_leads_to_its_user_and_nobody_is_blocked_by_a_key():
    async with console() as op:
        await op.press("3")
        await op.arrive({"jobs"})
        user = op.cluster.jobs[op.list.table.cursor_key].user
        assert op.app.acting.refusal("block") is None
        op.app.acting.act("block")
        await op.comes(f"block {user}")
        assert op.machine.queue.blocked_users == set()
        await op.type("mining")
        await op.press("enter")
        await op.comes(f"Block {user}")
        await op.confirm(answer="y")
        await op.comes(f"blocked: {user}")
        await op.until(lambda: user in op.app.session.still_closed.users, "the reminder")
        await op.command(f"unblock {user}")
        await op.confirm(answer="y")
        await op.until(lambda: user not in op.app.session.still_closed.users, "the reminder goes")
