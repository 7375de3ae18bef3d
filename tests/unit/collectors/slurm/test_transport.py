"""The six sources over whatever transport is configured, and what stands in where a transport cannot."""

from __future__ import annotations

import msgspec
import pytest

from collectors.model import SourceFault
from collectors.slurm import SlurmSettings, operations, transport
from collectors.slurm.commands import controller
from collectors.slurm.commands import jobs as cli_jobs
from collectors.slurm.commands import nodes as cli_nodes
from collectors.slurm.commands.commands_transport import CliTransport
from collectors.slurm.commands.jobs import COLUMNS, NAMED
from collectors.slurm.native import facts as native_facts
from collectors.slurm.native import jobs as native_jobs
from collectors.slurm.rest import answers
from collectors.slurm.rest import jobs as rest_jobs
from collectors.slurm.sources import FallbackTransport, SharedSlurmSource, open_sources, open_transport, open_transports
from collectors.slurm.transport import KINDS, OPTIONAL, TransportLimit
from console.ingest.poller import LendingSource
from tests.support.make import VERSIONS, Commands, line, named_row, play, row, squeue
from tests.support.slurmrestd_server import StandIn, number, record


@pytest.fixture
def blind(monkeypatch):
    """slurmrestd can tell no reservations and no detail of a job."""
    more = (
        TransportLimit(transport="rest", what="reservations", why="it is blind"),
        TransportLimit(transport="rest", what="job_detail", why="so"),
    )
    monkeypatch.setattr(transport, "LIMITS", (*transport.LIMITS, *more))


@pytest.fixture
def restd(tmp_path):
    with StandIn(tmp_path) as started:
        yield started


def test_the_same_sources_over_every_transport(restd):
    over = {name: open_sources("lab", SlurmSettings(transport=name)) for name in ("cli", "native")}
    over["rest"] = open_sources("lab", restd.settings)
    for name, found in over.items():
        # What only some sites have, and a transport cannot read, has no source there: no fault for what may not be.
        kinds = [kind for kind in KINDS if kind not in OPTIONAL or transport.unsupported(name, kind) is None]
        assert [one.name for one in found] == [f"slurm.{kind}" for kind in kinds]
        assert [one.floor_s for one in found][:6] == [10.0, 10.0, 60.0, 60.0, 60.0, 900.0]
    both = open_sources("lab", msgspec.structs.replace(restd.settings, fallback=("cli",)))
    assert "slurm.topology" in [one.name for one in both]
    assert all(isinstance(one, LendingSource) for one in over["cli"])
    assert not any(isinstance(one, SharedSlurmSource) for one in over["rest"]), "a connection is not shared"
    assert restd.seen == [], "nothing is asked by opening"


def test_an_operation_that_nobody_taught_a_transport_goes_by_command_alone():
    class Unheard(operations.SlurmOperation, frozen=True, kw_only=True):
        pass

    for new in (Unheard(), operations.NodeState(state="FUTURE")):
        assert transport.unsupported("cli", new) is None
        for name in ("rest", "native"):
            assert "command" in transport.unsupported(name, new)


def test_a_kind_that_no_transport_can_tell_is_unknown_with_the_reason(restd, blind):
    with pytest.raises(SourceFault, match="reservations cannot be read over rest: it is blind") as caught:
        open_sources("lab", restd.settings)[3].collect()
    assert 'fallback = ["cli"]' in caught.value.fault.mend


def test_what_a_transport_cannot_read_goes_over_the_next(restd, blind, tmp_path, monkeypatch):
    play(Commands(tmp_path, monkeypatch), VERSIONS[-1])
    chosen = msgspec.structs.replace(restd.settings, fallback=("cli",))
    kept = open_sources("lab", chosen)[3]
    assert isinstance(kept, SharedSlurmSource) and "lab-maint" in kept.collect().reservations
    both = open_transport("lab", chosen)
    assert both.job_detail("2").batch and restd.seen == []
    assert list(both.read_nodes(["gpu0001"])) == ["gpu0001"] and restd.asked == ["nodes/"]
    with pytest.raises(SourceFault, match="job_detail cannot be read over rest: so"):
        FallbackTransport(open_transports("lab", restd.settings)).job_detail("2")


def test_what_a_screen_shows_reaches_the_transport(restd, monkeypatch):
    monkeypatch.setattr("collectors.slurm.rest.queue.SMALL", 0)
    restd.queue(record(1), record(2))
    jobs = open_sources("lab", restd.settings)[1]
    jobs.collect()
    jobs.show(frozenset({"2"}))
    jobs.collect()
    assert restd.asked[-1] == "job/2"
    open_sources("lab", SlurmSettings())[1].show(frozenset({"2"}))  # the commands read all of them alike


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"transport": "rest"}, "either url or socket"),
        ({"transport": "rest", "url": "https://a", "socket": "/b"}, "either url or socket"),
        ({"transport": "rest", "url": "http://far"}, "https://"),
        ({"transport": "rest", "socket": "b"}, "socket must begin at /"),
        ({"transport": "rest", "socket": "/b", "user": "a/b"}, "user must be the name of an account"),
        ({"transport": "rest", "socket": "/b", "fallback": ("rest",)}, "fallback names a transport twice"),
        ({"url": "https://a"}, 'are for transport = "rest"'),
    ],
)
def test_settings_that_cannot_be(chosen, words):
    with pytest.raises(ValueError, match=words):
        SlurmSettings(**chosen)


def test_a_row_of_squeue_that_cannot_be_read_may_be_of_any_job(tmp_path, monkeypatch):
    commands = Commands(tmp_path, monkeypatch)
    commands.says("squeue", squeue(named_row(JobArrayID="7"), "nonsense", columns=NAMED), to="*-j *")
    commands.says("squeue", squeue(row(), "nonsense"))
    cli = CliTransport(SlurmSettings(share=False))
    assert cli.reader("jobs").read().hidden == {"*"}
    with pytest.raises(SourceFault, match="a row of squeue cannot be read"):
        cli.read_jobs(["7", "8"])


# -- the same fact by every transport ----------------------------------------------------------------------------------


class Record:
    """An object of pyslurm's."""

    def __init__(self, **fields):
        self.__dict__ |= fields
        self.get_resource_layout_per_node = lambda: fields.get("layout", {})


class Tres:
    """TRES as pyslurm gives them."""

    def __init__(self, **gres):
        self.gres = {key: Record(count=count) for key, count in gres.items()}


UNSET = {"set": False, "infinite": False, "number": 0}
INFINITE = {"set": False, "infinite": True, "number": 0}
HELD = {"nodes": "gpu0001"}


def by_commands(cells, held):
    return cli_jobs.row(
        row(**{"JobArrayID": "7", "tres_per_node": "N/A", "NumNodes": "1", "NumTasks": "1", "NodeList": "",
               "State": "RUNNING" if held else "PENDING"} | ({"NodeList": "gpu0001"} if held else {}) | cells)
    )  # fmt: skip


def by_rest(fields, held):
    told = record(7, "RUNNING" if held else "PENDING", "gpu0001" if held else "",
                  **{"tres_req_str": "cpu=1", "node_count": number(1), "tasks": number(1)} | fields)  # fmt: skip
    return rest_jobs.job(msgspec.convert(told, rest_jobs.JobRecord))


def by_pyslurm(fields, held):
    given = {"id": 7, "array_id": None, "heterogeneous_id": None, "state": "RUNNING" if held else "PENDING",
             "allocated_nodes": "gpu0001" if held else None, "num_nodes": 1, "ntasks": 1, "gres_per_node": {},
             "time_limit": 60}  # fmt: skip
    ((found,), _) = native_jobs.jobs([Record(**given | fields)], False)
    return found


def layout(count):
    return {"layout": {"gpu0001": {"gres": {"gpu:h100": {"count": count, "indexes": f"0-{count - 1}"}}}}}


#: What a job requests, as each transport tells it, and the GPUs that it requests or holds: seen on 25.11.7 and 26.05.5.
REQUESTS = {
    "none": ({}, {}, {"layout": {"gpu0001": {"gres": {}}}}, 0),
    "per node": ({"tres_per_node": "gres/gpu:h100:4"}, {"tres_per_node": "gres/gpu:h100:4"},
                 {"gres_per_node": {"gres/gpu:h100": 4}} | layout(4), 4),
    "--gpus-per-node=2 --gres=gpu:1": ({"tres_per_node": "gres/gpu:2,gres/gpu:1"},
                                       {"tres_per_node": "gres/gpu:2,gres/gpu:1"},
                                       {"gres_per_node": {"gres/gpu": 1}} | layout(1), 1),
    "two types": ({"tres_per_node": "gres/gpu:a100:2,gres/gpu:b200:1"},
                  {"tres_per_node": "gres/gpu:a100:2,gres/gpu:b200:1"},
                  {"gres_per_node": {"gres/gpu:a100": 2, "gres/gpu:b200": 1}} | layout(3), 3),
    "--gpus": ({"tres_per_job": "gres/gpu:3"}, {"tres_per_job": "gres/gpu:3"}, layout(3), 3),
    "--gpus-per-task": ({"tres_per_task": "gres/gpu=2", "NumTasks": "3"},
                        {"tres_per_task": "gres/gpu=2", "tasks": number(3)},
                        {"tres_per_task": Tres(gpu=2), "ntasks": 3} | layout(6), 6),
    "--gpus-per-socket": ({"tres_per_socket": "gres/gpu:2", "Sockets": "2"},
                          {"tres_per_socket": "gres/gpu:2", "sockets_per_node": number(2)}, layout(4), 4),
}  # fmt: skip
#: What pyslurm 25.11.2 cannot read of a job that waits: unknown, never 0.
UNREAD = {"none", "--gpus", "--gpus-per-socket"}


@pytest.mark.parametrize("how", REQUESTS)
def test_the_gpus_that_a_job_requests(how):
    cli, rest, native, gpus = REQUESTS[how]
    assert by_commands(cli, False).gpus == by_rest(rest, False).gpus == gpus
    assert by_pyslurm(native, False).gpus == (None if how in UNREAD else gpus)


@pytest.mark.parametrize("how", REQUESTS)
def test_the_gpus_that_a_job_holds(how):
    cli, rest, native, gpus = REQUESTS[how]
    found = by_pyslurm(native, True)
    assert (found.gpus, found.gpus_held) == (gpus, gpus)
    if how == "--gpus-per-socket":  # fewer on a node where it got fewer sockets: counted on its nodes, never reckoned
        assert by_commands(cli, True).gpus is by_rest(rest, True).gpus is None
        assert by_rest(rest | {"gres_detail": ["gpu:h100:2(IDX:0-1)", "gpu:h100:1(IDX:7)"]}, True).gpus_held == 3
        return
    for one in (by_commands(cli, True), by_rest(rest, True)):
        assert (one.gpus, one.gpus_held) == (gpus, gpus)


@pytest.mark.parametrize(
    ("cli", "rest", "native", "seconds"),
    [
        ("1:00:00", number(60), 60, 3600),
        ("UNLIMITED", INFINITE, None, None),
        ("UNLIMITED", INFINITE, "UNLIMITED", None),
    ],
)
def test_a_job_with_and_without_a_time_limit(cli, rest, native, seconds):
    for found in (by_commands({"TimeLimit": cli}, True), by_rest({"time_limit": rest}, True),
                  by_pyslurm({"time_limit": native}, True)):  # fmt: skip
        assert (found.time_limit_s, found.unlimited) == (seconds, seconds is None)


def test_a_time_limit_that_is_unknown_is_not_none_at_all():
    assert (
        not by_commands({"TimeLimit": "NOT_SET"}, True).unlimited and not by_rest({"time_limit": UNSET}, True).unlimited
    )


def gres_of(text, used, native):
    """A node with these GRES, by each transport."""
    scontrol = line("n1", Gres=text or "(null)", GresUsed=used)
    scontrol = scontrol if text else scontrol.replace(f"GresUsed={used} ", "")
    told = {"name": "n1", "state": ["IDLE"], "gres": text, "gres_used": used}
    record = Record(name="n1", state="IDLE", configured_gres=native, allocated_tres={}, partitions=["gpu"])
    return (cli_nodes.node(scontrol, None), answers.node(msgspec.convert(told, answers.NodeRecord)),
            native_facts.node(record, {}, {}))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "used", "native", "gpus"),
    [("gpu:h100:8", "gpu:h100:0(IDX:N/A)", {"gpu:h100": 8}, 8), ("", "", {}, 0),
     ("gpu:a100:no_consume:4", "gpu:a100:0", None, 4), ("gpu:no_consume:4", "gpu:0", None, 4)],
)  # fmt: skip
def test_the_gpus_of_a_node(text, used, native, gpus):
    cli, rest, by_library = gres_of(text, used, native)
    assert (cli.gpus, cli.gpus_alloc) == (rest.gpus, rest.gpus_alloc) == (gpus, 0)
    # pyslurm 25.11.2 raises for no_consume: unknown, not 0.
    assert (by_library.gpus, by_library.gpus_alloc) == (None if native is None else gpus, 0)


def test_flags_of_a_node_come_in_one_order():
    cli = cli_nodes.node(line("n1", "IDLE+DRAIN+MAINTENANCE+RESERVED+PLANNED"), None)
    told = {"name": "n1", "state": ["IDLE", "RESERVED", "PLANNED", "NEW_IN_27", "DRAIN", "MAINTENANCE"]}
    rest = answers.node(msgspec.convert(told, answers.NodeRecord))
    assert rest.flags == ("NEW_IN_27", *cli.flags) and rest.state == "IDLE"


@pytest.mark.parametrize(
    ("scontrol", "rest", "native", "told"),
    [
        ("AllowAccounts=ALL", ("", ""), (["ALL"], ["ALL"]), ("ALL", None)),
        ("DenyAccounts=bio,phys", ("", "bio,phys"), (["ALL"], ["bio", "phys"]), ("ALL", "bio,phys")),
        ("AllowAccounts=ml,bio", ("ml,bio", ""), (["ml", "bio"], ["ALL"]), ("ml,bio", None)),
        # Slurm looks at no DenyAccounts beside AllowAccounts, and scontrol prints none.
        ("AllowAccounts=ml", ("ml", "bio"), (["ml"], ["bio"]), ("ml", None)),
    ],
)
def test_which_accounts_may_use_a_partition(tmp_path, monkeypatch, scontrol, rest, native, told):
    Commands(tmp_path, monkeypatch).says("scontrol", f"PartitionName=p AllowGroups=ALL {scontrol} State=UP\n")
    record = {"name": "p", "accounts": {"allowed": rest[0], "deny": rest[1]}}
    found = [
        controller.partitions(20)["p"],
        answers.partition(msgspec.convert(record, answers.PartitionRecord)),
        native_facts.partitions([Record(name="p", allowed_accounts=native[0], denied_accounts=native[1])], None)[0],
    ]
    assert [(one.allow_accounts, one.deny_accounts) for one in found] == [told] * 3


# -- GPUs that are counted on the nodes of a job -----------------------------------------------------------------------

SOCKETS = {"JobArrayID": "7", "State": "RUNNING", "NodeList": "gpu[0001-0002]", "tres_per_node": "N/A",
           "tres_per_socket": "gres/gpu:2", "Sockets": "2"}  # fmt: skip
THEIRS = ["gpu:h100:4(IDX:0-3)", "gpu:h100:2(IDX:0,7)"]
DETAIL = msgspec.json.encode({"jobs": [{"job_id": 7, "nodes": "gpu[0001-0002]", "gres_detail": THEIRS}]})


def test_the_commands_count_what_a_job_of_sockets_holds_once(tmp_path, monkeypatch):
    commands = Commands(tmp_path, monkeypatch)
    commands.says("squeue", squeue(named_row(**SOCKETS), columns=NAMED), to="*-j *")
    commands.says("squeue", squeue(row(**SOCKETS), row(JobArrayID="8")))
    commands.says("scontrol", DETAIL, to="show job 7 --json*")
    commands.says("scontrol", "JobId=7 JobName=x\n", to="show job 7 *")
    cli = CliTransport(SlurmSettings(share=False))
    reader = cli.reader("jobs")
    jobs = reader.read().jobs
    assert (jobs["7"].gpus, jobs["7"].gpus_held) == (6, 6)
    calls = len(commands.calls)
    assert reader.read().jobs is jobs and len(commands.calls) == calls + 1, "a row that did not change costs nothing"
    assert cli.read_jobs(["7"])["7"].gpus_held == 6 and cli.read_jobs_on(["gpu0001"])["7"].gpus_held == 6


def test_the_commands_leave_it_unknown_where_nothing_tells(tmp_path, monkeypatch):
    commands = Commands(tmp_path, monkeypatch)
    commands.says("squeue", squeue(row(**SOCKETS)))
    commands.says("scontrol", "", "slurm_load_jobs error: Invalid job id specified\n", 1)
    reader = CliTransport(SlurmSettings(share=False)).reader("jobs")
    assert reader.read().jobs["7"].gpus is None and reader.read().jobs["7"].gpus_held is None
    assert len([call for call in commands.calls if call.startswith("scontrol")]) == 1, "not again at once"


@pytest.mark.parametrize("read", ["read_jobs", "read_jobs_on", "read_jobs_in"])
def test_what_is_counted_by_name_is_asked_of_the_own_cluster_and_of_a_few_jobs(tmp_path, monkeypatch, read):
    monkeypatch.delenv("SLURM_CONF", raising=False)
    commands = Commands(tmp_path, monkeypatch)
    ids = [str(number) for number in range(100, 120)]
    made, columns = (named_row, NAMED) if read == "read_jobs" else (row, COLUMNS)
    commands.says("squeue", squeue(*(made(**SOCKETS | {"JobArrayID": one}) for one in ids), columns=columns))
    # A command that is told of no cluster, or of another, would ask the wrong controller.
    number = 'n=$(echo "$*" | sed "s/[^0-9]*\\([0-9]*\\).*/\\1/")'
    detail = DETAIL.decode().replace('"job_id":7', "\"job_id\":'$n'")
    commands.script("scontrol", f"""[ "$SLURM_CONF" = /etc/own.conf ] || exit 1
{number}
case "$*" in *--json*) echo '{detail}';; *) echo "JobId=$n JobName=x";; esac""")  # fmt: skip
    cli = CliTransport(SlurmSettings(share=False, conf="/etc/own.conf"))
    asked = {"read_jobs": ids, "read_jobs_on": ["gpu0001"], "read_jobs_in": "maintenance"}[read]
    found = getattr(cli, read)(asked)
    assert [found[one].gpus_held for one in ids] == [6] * 8 + [None] * 12, "a few are counted, the rest is unknown"
    assert len({call.split()[3] for call in commands.calls if call.startswith("scontrol")}) == 8


@pytest.mark.parametrize("small", [True, False])
def test_slurmrestd_counts_what_a_job_of_sockets_holds_once(restd, monkeypatch, small):
    """`flags=ALL`, by which wacht reads the queue, leaves out gres_detail."""
    if not small:
        monkeypatch.setattr("collectors.slurm.rest.queue.SMALL", 0)
    told = record(7, "RUNNING", "gpu[0001-0002]", tres_req_str="cpu=1", tres_per_socket="gres/gpu:2",
                  sockets_per_node=number(2), node_count=number(2), gres_detail=[])  # fmt: skip
    restd.queue(told, record(8))
    held = told | {"gres_detail": THEIRS}
    whole = lambda handler: handler.send(msgspec.json.encode({"jobs": [told if "flags" in handler.path else held]}))  # noqa: E731
    restd.odd["job/7"] = whole
    rest = open_transport("lab", restd.settings)
    jobs = open_sources("lab", restd.settings)[1]
    assert jobs.collect().jobs["7"].gpus_held == 6
    asked = restd.asked.count("job/7")
    assert asked == 1 and jobs.collect().jobs["7"].gpus_held == 6 and restd.asked.count("job/7") == asked
    assert rest.read_jobs(["7"])["7"].gpus_held == rest.read_jobs_on(["gpu0001"])["7"].gpus_held == 6
