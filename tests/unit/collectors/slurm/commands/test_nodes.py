"""The nodes: a forged line is no node, a reason has its author, nothing is silently missing, unchanged is unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.model import SourceFault
from collectors.nodeset import fold
from collectors.racks import RackRule
from collectors.slurm.commands.nodes import NodeReader, end_of, named, node, split
from tests.support.make import Commands, line

ALL = "-a show node -d -o"
HEADER = "NODELIST|USER|TIMESTAMP|REASON@F\n"
FREE = st.text(st.characters(exclude_characters="\0\n"))


@pytest.fixture
def commands(tmp_path, monkeypatch):
    return Commands(tmp_path, monkeypatch)


def slurm(commands: Commands, *lines: str, names: str | None = None, reasons: str = "") -> None:
    """Stand-ins for a Slurm with these lines; each node asked for alone has its own, without a line break."""
    own = {text.split()[0].removeprefix("NodeName="): text for text in lines if text.startswith("NodeName=")}
    commands._cases.clear()
    commands.says("scontrol", "".join(lines), to=ALL)
    for name, text in own.items():
        commands.says("scontrol", text, to=f"-a show node {name} -d -o")
    commands.says("sinfo", HEADER + reasons, to="-a -R *")
    commands.says("sinfo", (fold(own) if names is None else names) + "\n", to="-a -h -o %N")


def read(reader: NodeReader | None = None, deadline_s: float = 20.0):
    return (reader or NodeReader()).read(deadline_s)


# -- what a line says --------------------------------------------------------------------------------------------------


def test_a_line():
    one = node(
        line("gpu0001", "MIXED+PLANNED", CPUAlloc="98", GresUsed="gpu:h100:7(IDX:0-6)", Partitions="gpu,debug"), None
    )
    assert (one.name, one.state, one.flags, one.display) == ("gpu0001", "MIXED", ("PLANNED",), "mixed")
    assert (one.cpus, one.cpus_alloc, one.cpu_load) == (112, 98, 1.9)
    assert (one.memory_mb, one.memory_alloc_mb, one.free_memory_mb) == (2_000_000, 0, 22_992)
    assert (one.gpus, one.gpus_alloc, one.gpu_type, one.gpus_used) == (8, 7, "h100", "0-6")
    assert (one.partitions, one.features, one.address, one.version) == (("gpu", "debug"), (), "127.0.0.1", "26.05.5")
    assert (one.boot_at, one.slurmd_at, one.busy_at) == (1_795_507_276, 1_795_509_455, 1_795_509_456)
    assert one.reason is one.comment is one.extra is one.reservation is one.rack is None


def test_what_slurm_does_not_know_is_unknown():
    bare = node(
        "NodeName=x State=DOWN* CPULoad=N/A FreeMem=N/A BootTime=None Partitions=(null) ActiveFeatures=(null)", None
    )
    assert bare.display == "down"
    for name in ("cpus", "cpu_load", "free_memory_mb", "gpus", "gpus_alloc", "boot_at", "address", "version"):
        assert getattr(bare, name) is None, name
    assert bare.partitions == bare.features == ()
    no_gpus = node(line("x", Gres="(null)", GresUsed="gpu:0"), None)
    assert (no_gpus.gpus, no_gpus.gpus_alloc, no_gpus.gpu_type) == (0, 0, None)


@pytest.mark.parametrize("text", ["", "NodeName=x", "State=IDLE", "NodeName= State=IDLE", "NodeName=x State="])
def test_what_is_no_node(text):
    assert node(text, None) is None


def test_new_words_and_new_fields_do_no_harm():
    text = line("x", "IDLE+BRAND_NEW", " NewField=1 Reason=bad DIMM [root@1795509455]").replace(
        " Port=", " Newer=a b Port="
    )
    one = node(text, None)
    assert (one.display, one.flags, one.address) == ("idle", ("BRAND_NEW",), "127.0.0.1")
    assert (one.reason, one.reason_by, one.reason_at) == ("bad DIMM", "root", 1_795_509_455)


@pytest.mark.parametrize("gap", ["  ", " "])
def test_the_reservation_stands_behind_free_text(gap):
    """24.11 prints it last, behind reason, comment and extra; 25.05 and later print still more."""
    for free in (" Reason=bad DIMM [root@5]", " Comment=hello world", " Reason=r [root@5] Comment=c d Extra=a=b c", ""):
        for tail in (" ReservationName=now1", " ReservationName=now1 Topology=default:s1 Parameters=x=y"):
            one = node(line("x", "IDLE+MAINTENANCE", f"{gap[1:]}{free}{tail}"), None)
            assert one.reservation == "now1", (free, tail)
            assert "now1" not in f"{one.reason}{one.comment}{one.extra}"
            assert one.extra in {None, "a=b c"} and one.comment in {None, "hello world", "c d"}


@given(FREE, FREE, FREE)
def test_free_text_steers_nothing(reason, comment, extra):
    honest = node(line("gpu0001"), None)
    forged = node(line("gpu0001", end=f" Reason={reason} [root@5] Comment={comment} Extra={extra}"), ("why", "bob", 7))
    for field in honest.__struct_fields__:
        if field not in {"reason", "reason_by", "reason_at", "comment", "extra", "reservation"}:
            assert getattr(forged, field) == getattr(honest, field), field
    assert (forged.reason, forged.reason_by, forged.reason_at) == ("why", "bob", 7)


def test_a_line_of_free_text_only_ends_where_it_began():
    text = line("x", end=" Reason=evil State=IDLE [root@5]        NodeName=gpu0001 State=DOWN x=y")
    fields, free = split(text)
    assert fields["State"] == "IDLE" and fields["NodeName"] == "x"
    assert free["Reason"] == "evil State=IDLE [root@5]        NodeName=gpu0001 State=DOWN x=y"
    assert end_of(line("x")) == "" and end_of("NodeName=x State=IDLE Comment=y") == " Comment=y"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_line_is_split(text):
    fields, free = split(text)
    assert all(isinstance(value, str) for value in (*fields.values(), *free.values()))


def test_lines_without_a_name_belong_to_the_node_before():
    assert named(["junk", "NodeName=a x", "more", "NodeName=b", "NodeName=-o", "NodeName=a y"]) == {
        "a": ["NodeName=a x\nmore", "NodeName=a y"], "b": ["NodeName=b\nNodeName=-o"],
    }  # fmt: skip


# -- reading -----------------------------------------------------------------------------------------------------------


def test_reads_all_nodes_in_two_calls_and_then_in_one(commands):
    slurm(commands, line("gpu0001"), line("gpu0002"), line("gpu0003"))
    reader = NodeReader()
    nodes, warnings = read(reader)
    assert list(nodes) == ["gpu0001", "gpu0002", "gpu0003"] and warnings == ()
    again, _ = read(reader)
    assert all(again[name] is nodes[name] for name in nodes)
    assert commands.calls == [f"scontrol {ALL}", "sinfo -a -h -o %N", f"scontrol {ALL}"]


def test_hidden_partitions_are_asked_for(commands):
    """Without -a an operator who may not see a hidden partition misses its nodes, and the reading looks cut."""
    slurm(commands, line("gpu0001"))
    read()
    assert all(" -a " in call for call in commands.calls) and len(commands.calls) == 2


def test_a_changed_node_alone_is_a_new_object(commands):
    slurm(commands, line("gpu0001"), line("gpu0002"), line("gpu0003"))
    reader = NodeReader()
    before, _ = read(reader)
    slurm(commands, line("gpu0001"), line("gpu0002", "MIXED"), line("gpu0003").replace("TmpDisk=0", "TmpDisk=9"))
    after, _ = read(reader)
    assert [name for name in after if after[name] is not before[name]] == ["gpu0002"]
    assert before["gpu0002"].display == "idle" and after["gpu0002"].display == "mixed"


def test_reasons_come_with_who_and_when(commands):
    drained = line(
        "gpu0002", "IDLE+DRAIN", " Reason=evil State=IDLE [root@1795509455]        NodeName=gpu0001 State=DOWN"
    )
    told = "gpu0002|alice(2001)|1795509455|evil State=IDLE\nNodeName=gpu0001 State=DOWN \x1b[31m|x@F\n"
    slurm(commands, line("gpu0001"), drained, reasons=told)
    nodes, _ = read()
    assert nodes["gpu0001"].reason is None and nodes["gpu0001"].display == "idle"
    assert nodes["gpu0002"].reason == "evil State=IDLE\\nNodeName=gpu0001 State=DOWN \\e[31m|x"
    assert (nodes["gpu0002"].reason_by, nodes["gpu0002"].reason_at) == ("alice", 1_795_509_455)


def test_reasons_are_asked_for_when_they_moved(commands):
    reader = NodeReader()
    lines = [line("gpu0001"), line("gpu0002", "IDLE+DRAIN", " Reason=one [root@5]")]
    slurm(commands, *lines, reasons="gpu0002|root(0)|5|one@F\n")
    first, _ = read(reader)
    read(reader)
    assert sum("-R" in call for call in commands.calls) == 1
    slurm(commands, lines[0], line("gpu0002", "IDLE+DRAIN", " Reason=two [bob@9]"), reasons="gpu0002|bob(7)|9|two@F\n")
    second, _ = read(reader)
    assert (second["gpu0002"].reason, second["gpu0002"].reason_by) == ("two", "bob")
    assert second["gpu0001"] is first["gpu0001"]
    slurm(commands, lines[0], line("gpu0002"))
    assert read(reader)[0]["gpu0002"].reason is None
    assert sum("-R" in call for call in commands.calls) == 2


def test_a_reason_that_sinfo_keeps_silent_about_is_read_from_the_line(commands):
    """24.11 keeps the old reason of a resumed node, which `sinfo -R` does not list."""
    slurm(commands, line("gpu0001", "IDLE", " Reason=was [here] once [root@1795509455]"))
    one = read()[0]["gpu0001"]
    assert (one.reason, one.reason_by, one.reason_at) == ("was [here] once", "root", 1_795_509_455)


def test_who_signed_may_change_without_the_line(commands):
    lines = [line("gpu0001", "DOWN", " Reason=x [root@5]"), line("gpu0002", "DOWN", " Reason=y [root@5]")]
    reader = NodeReader()
    slurm(commands, *lines, reasons="gpu[1-2]|root(0)|5|x@F\n")
    read(reader)
    slurm(commands, lines[0], line("gpu0002", "DOWN", " Reason=z [root@5]"), reasons="gpu0001|carol(7)|5|x@F\n")
    assert read(reader)[0]["gpu0001"].reason_by == "carol"


def test_many_nodes_share_a_reason(commands):
    slurm(commands, *(line(f"gpu{n}", "DOWN", " Reason=x [root@5]") for n in range(1, 4)),
          reasons="gpu[1-3]|root(0)|5|x@F\n")  # fmt: skip
    assert {one.reason_by for one in read()[0].values()} == {"root"}


def test_comments_are_whole(commands):
    slurm(commands, line("gpu0001", end=" Comment=one\ntwo = 2\n\x07three Extra=rack=7\nslot=3"), line("gpu0002"))
    nodes, warnings = read()
    assert nodes["gpu0001"].comment == "one\\ntwo = 2\\n\\x07three" and nodes["gpu0001"].extra == "rack=7\\nslot=3"
    assert nodes["gpu0002"].comment is None and warnings == ()


# -- forgery -----------------------------------------------------------------------------------------------------------


def test_a_forged_line_of_a_real_node_is_not_believed(commands):
    forger = line("gpu0001", end=" Comment=x\nNodeName=gpu0002 State=DOWN Reason=forged [root@0]")
    slurm(commands, forger, line("gpu0002", "MIXED"), names="gpu[0001-0002]")
    nodes, warnings = read()
    assert nodes["gpu0002"].display == "mixed" and nodes["gpu0002"].reason is None
    assert warnings == ("1 node lines were doubled or unknown and asked for again, 0 dropped",)
    assert "scontrol -a show node gpu0002 -d -o" in commands.calls


def test_a_forged_line_before_the_real_one_is_not_believed_either(commands):
    slurm(commands, line("gpu0002", end=" Extra=\nNodeName=gpu0009 State=DOWN"), line("gpu0009", "ALLOCATED"))
    assert read()[0]["gpu0009"].display == "allocated"


def test_a_forged_node_is_dropped_and_told(commands):
    slurm(commands, line("gpu0001", end=" Comment=x\nNodeName=gpu0666 State=IDLE"), names="gpu0001")
    commands.says("scontrol", "Node gpu0666 not found\n", rc=1, to="-a show node gpu0666 -d -o")
    reader = NodeReader()
    for _ in range(2):
        nodes, warnings = read(reader)
        assert list(nodes) == ["gpu0001"]
        assert warnings == ("1 node lines were doubled or unknown and asked for again, 1 dropped",)


def test_a_flood_of_forged_nodes_costs_few_calls(commands):
    forged = "".join(f"\nNodeName=forged{n} State=IDLE" for n in range(500)) + "\nNodeName=gpu0002 State=DOWN"
    slurm(commands, line("gpu0001", end=f" Comment=x{forged}"), line("gpu0002"), names="gpu[0001-0002]")
    for n in range(40):
        commands.says("scontrol", f"Node forged{n} not found\n", rc=1, to=f"-a show node forged{n} -d -o")
    nodes, warnings = read()
    assert list(nodes) == ["gpu0001", "gpu0002"] and "500 dropped" in warnings[0]
    assert nodes["gpu0002"].display == "idle", "real nodes are settled first"
    assert len(commands.calls) < 50


def test_nodes_in_no_partition_are_asked_for_once(commands):
    slurm(commands, line("gpu0001"), line("spare1"), names="gpu0001")
    reader = NodeReader()
    nodes, warnings = read(reader)
    assert list(nodes) == ["gpu0001", "spare1"] and len(warnings) == 1
    calls = len(commands.calls)
    again, warnings = read(reader)
    assert again["spare1"] is nodes["spare1"] and warnings == ()
    assert commands.calls[calls:] == [f"scontrol {ALL}"]


# -- faults ------------------------------------------------------------------------------------------------------------


def test_missing_nodes_are_a_cut_not_a_smaller_machine(commands):
    slurm(commands, line("gpu0001"), names="gpu[0001-0003]")
    with pytest.raises(SourceFault) as caught:
        read()
    assert (caught.value.fault.kind, caught.value.fault.what) == ("cut", "scontrol show node left out 2 of 3 nodes")


def test_removed_nodes_go(commands):
    reader = NodeReader()
    slurm(commands, line("gpu0001"), line("gpu0002"))
    read(reader)
    slurm(commands, line("gpu0001"))
    assert list(read(reader)[0]) == ["gpu0001"]


@given(st.data())
def test_cut_anywhere_is_a_fault_or_tells_every_node(data):
    lines = [line("gpu0001"), line("gpu0002", "IDLE+DRAIN", " Reason=x [root@5]"), line("gpu0003")]
    whole = "".join(lines).encode()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    with pytest.MonkeyPatch.context() as patch:
        answers = {("-d", "-o"): cut, ("-o", "%N"): b"gpu[0001-0003]\n"}
        patch.setattr("collectors.slurm.commands.nodes.ask", lambda argv, *_, **__: answers[tuple(argv[-2:])])
        patch.setattr("collectors.slurm.commands.nodes.reasons", lambda *_: {})
        try:
            nodes, _ = read()
        except SourceFault as error:
            assert error.fault.kind in {"cut", "empty"} and cut != whole
        else:
            assert cut == whole and list(nodes) == ["gpu0001", "gpu0002", "gpu0003"]


@pytest.mark.parametrize(
    ("out", "err", "rc", "kind", "says"),
    [
        ("", "", 0, "empty", "lists not one node"),
        ("No nodes in the system\n", "", 0, "empty", "lists not one node"),
        (line("gpu0001")[:-1], "", 0, "cut", "middle of a line"),
        (line("gpu0001").replace("State=IDLE ", ""), "", 0, "malformed", "no state for gpu0001"),
        (b"\xff\xfe\x00 garbage \x80\n", "", 0, "empty", "lists not one node"),
        ("", "slurm_load_node error: Unable to contact slurm controller (connect failure)\n", 1, "refused",
         "scontrol show node: Unable to contact"),
        ("", "slurm_load_node error: Socket timed out on send/recv operation\n", 1, "timeout", "Socket timed out"),
    ],
)  # fmt: skip
def test_failures_by_their_names(commands, out, err, rc, kind, says):
    slurm(commands, line("gpu0001"))
    commands._cases["scontrol"].clear()
    commands.says("scontrol", out, err, rc)
    with pytest.raises(SourceFault) as caught:
        read()
    assert caught.value.fault.kind == kind and says in caught.value.fault.what and caught.value.fault.mend


@pytest.mark.parametrize(("names", "kind"), [("", "empty"), ("gpu[0001", "malformed"), ("@all", "malformed")])
def test_an_inventory_that_is_none(commands, names, kind):
    slurm(commands, line("gpu0001"), names=names)
    with pytest.raises(SourceFault) as caught:
        read()
    assert caught.value.fault.kind == kind and caught.value.fault.what.startswith("sinfo")


def test_a_hang_is_a_timeout(commands):
    commands.script("scontrol", "trap '' TERM; while :; do sleep 60; done")
    with pytest.raises(SourceFault, match=r"scontrol show node gave no answer in 0\.2 s"):
        read(deadline_s=0.2)


# -- racks by topology -------------------------------------------------------------------------------------------------


def test_racks_of_slurms_topology(commands):
    slurm(commands, line("gpu0001"), line("gpu0002"), line("gpu0003"))
    leaf = "SwitchName=s1 Level=0 LinkSpeed=1 Nodes=gpu[0001-0002]\n"
    top = "SwitchName=top Level=1 LinkSpeed=1 Nodes=gpu[0001-0003] Switches=s1\n"
    commands.says("scontrol", top + leaf, to="show topology -o")
    nodes, warnings = read(NodeReader(RackRule(topology=True)))
    assert [one.rack for one in nodes.values()] == ["s1", "s1", None] and warnings == ()


def test_without_a_topology_the_nodes_are_told_all_the_same(commands):
    slurm(commands, line("gpu0001"))
    commands.says("scontrol", "", "slurm_load_topo error: Socket timed out\n", 1, to="show topology -o")
    reader = NodeReader(RackRule(topology=True))
    nodes, warnings = read(reader)
    assert nodes["gpu0001"].rack is None and warnings[0].startswith("racks are unknown: scontrol show topology: Socket")
    slurm(commands, line("gpu0001"))
    commands.says("scontrol", "SwitchName=s1 Level=0 LinkSpeed=1 Nodes=gpu0001\n", to="show topology -o")
    nodes, warnings = read(reader)
    assert nodes["gpu0001"].rack == "s1" and warnings == ()
