"""What Alertmanager says as alerts and silences: typed, cleaned, by node, and nothing made of a strange answer."""

from __future__ import annotations

import json

import pytest

from collectors.alertmanager import DESCRIPTOR, AlertmanagerSettings
from collectors.alertmanager.answers import AlertAnswers
from collectors.alertmanager.sources import open_alert_reader, open_sources
from collectors.model import KINDS, Matcher, SourceFault
from collectors.sim import SimSettings
from collectors.source_registry import descriptors
from console.config.settings import ClusterConfig, Config, ConfigError, load
from console.session.cluster_sources import choose, demo
from tests.support.alertmanager_server import StandIn, row, silence_row
from tests.support.yardstick import cost

URL = "https://alertmanager.example"


def read(*rows, **settings):
    alerts, warnings = AlertAnswers(AlertmanagerSettings(url=URL, **settings)).alerts(json.dumps(rows).encode())
    return list(alerts.values()), warnings


@pytest.fixture
def server():
    with StandIn() as started:
        yield started


# -- alerts ------------------------------------------------------------------------------------------------------------


def test_an_alert_in_full():
    (alert,), warnings = read(row(7, "suppressed", ("s1",), severity="critical", rack="R01"))
    assert (alert.id, alert.name, alert.severity, alert.state) == ("0" * 15 + "7", "NodeDown", "critical", "suppressed")
    assert (alert.node, alert.summary, alert.silenced_by) == ("gpu0007", "it does not answer", ("s1",))
    assert alert.starts == 1795489200 and alert.labels["rack"] == "R01" and warnings == ()


@pytest.mark.parametrize(
    ("labels", "settings", "node"),
    [
        ({"instance": "gpu0001:9400"}, {}, "gpu0001"),
        ({"instance": "gpu0001.site.example:9400"}, {}, "gpu0001"),
        ({"instance": "exporter:9400", "node": "gpu0002"}, {}, "gpu0002"),
        ({"instance": "x:1", "Hostname": "gpu0003"}, {}, "gpu0003"),
        ({"instance": "gpu0004-bmc:1"}, {"node": "(gpu[0-9]+)-bmc:1"}, "gpu0004"),
        ({"instance": "pdu-1:1"}, {"node": "(gpu[0-9]+)-bmc:1"}, None),
        ({"instance": "gpu0005:1", "host": "gpu0006"}, {"node_labels": ("host",)}, "gpu0006"),
        ({"instance": ""}, {}, None),
    ],
)
def test_the_node_is_found_in_the_labels(labels, settings, node):
    (alert,), _ = read(row(1, **labels), **settings)
    assert alert.node == node


def test_what_is_missing_is_none_and_not_made_up():
    bare = {"fingerprint": "ab", "labels": {}, "status": {"state": "active"}}
    zero = row(2) | {"startsAt": "0001-01-01T00:00:00Z", "annotations": None}
    zero["status"]["silencedBy"] = None
    (one, two), warnings = read(bare, zero)
    assert (one.name, one.severity, one.node, one.starts, one.summary) == ("unnamed alert", None, None, None, None)
    assert (two.starts, two.summary, two.silenced_by, warnings) == (None, None, (), ())


def test_hostile_text_becomes_visible():
    evil = "\x1b]52;c;aGk=\x07[@click=app.quit]x[/]\nline\u202e" + "a" * 10_000
    (alert,), _ = read(row(1, what=evil) | {"annotations": {"summary": evil, "\x1bkey": "x"}})
    for text in (alert.labels["what"], alert.summary, *alert.annotations):
        assert text.isprintable() or text.isascii()
        assert not any(char in text for char in "\x1b\x07\n\u202e")
    assert (
        alert.summary.startswith("\\e]52;c;aGk=\\x07[@click=app.quit]x[/]\\nline\\u202e")
        and len(alert.summary) > 10_000
    )


def test_a_strange_row_is_left_out_and_told():
    strange = [row(2) | {"labels": {"n": 5}}, "nonsense", {"fingerprint": "x"}, row(5) | {"startsAt": "yesterday"}]
    alerts, (warning,) = read(row(1), *strange, row(6))
    assert [alert.node for alert in alerts] == ["gpu0001", "gpu0006"]
    assert warning.startswith("4 alerts left out: ")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"null", b"<html>login</html>", b"[1, 2", b'{"status":"success","data":[]}', b"\xff\xfe", b"[\x80]"],
)
def test_what_is_no_list_is_a_fault_and_never_no_alerts(content):
    with pytest.raises(SourceFault, match="none of Alertmanager") as caught:
        AlertAnswers(AlertmanagerSettings(url=URL)).alerts(content)
    assert caught.value.fault.kind == "malformed"


def test_ten_thousand_alerts_are_read_in_a_moment():
    rows = [row(n, rack=f"R{n // 16}", severity="critical", job="dcgm", what="x" * 100) for n in range(10_000)]
    content = json.dumps(rows).encode()
    reader = AlertAnswers(AlertmanagerSettings(url=URL))
    alerts, _ = reader.alerts(content)
    assert len(alerts) == 10_000
    assert cost(lambda: reader.alerts(content), rounds=3) < 35  # 11 where it was measured


# -- silences ----------------------------------------------------------------------------------------------------------


def silences(*rows, **settings):
    found, warnings = AlertAnswers(AlertmanagerSettings(url=URL, **settings)).silences(json.dumps(rows).encode())
    return list(found.values()), warnings


def test_a_silence_in_full_and_expired_ones_left_out():
    (one, two), _ = silences(silence_row(1), silence_row(2, "expired"), silence_row(3, "pending", comment="\x1bx"))
    assert (one.state, one.by, one.taken, one.ends - one.starts) == ("active", "jdv", True, 7200)
    assert one.matchers == (Matcher("alertname", "NodeDown"),)
    assert (two.state, two.comment, two.taken) == ("pending", "\\ex", False)


def test_a_silence_of_another_cluster_is_left_out():
    def of(*matchers):
        return silence_row(1, matchers=[{"name": n, "value": v, "isRegex": r, "isEqual": e} for n, v, r, e in matchers])

    mine = {"matchers": 'cluster="groningen", env!="test"'}
    assert not silences(of(("cluster", "delft", False, True)), **mine)[0]
    assert not silences(of(("cluster", "groningen", False, False)), **mine)[0]
    for kept in (("cluster", "groningen", False, True), ("cluster", "d.*", True, True), ("node", "x", False, True)):
        assert silences(of(kept), **mine)[0]


# -- the source and the desk -------------------------------------------------------------------------------------------


def test_the_source_reads_both_and_asks_for_everything(server):
    server.answers |= {"/alerts": [row(1)], "/silences": [silence_row(1)]}
    (source,) = open_sources("c", server.settings)
    assert (source.name, source.floor_s) == ("alerts.alerts", 10.0)
    facts = source.collect()
    assert {kind for kind in KINDS if getattr(facts, kind) is not None} == {"alerts", "silences"}
    assert server.asked == ["/alerts", "/silences"]
    (_, params, _, headers), _ = server.seen
    assert params == [("active", "true"), ("silenced", "true"), ("inhibited", "true"), ("unprocessed", "true")]
    assert headers["Accept-Encoding"] == "identity"
    source.close()


def test_an_empty_list_is_no_alerts_when_alertmanager_says_so(server):
    facts = open_sources("c", server.settings)[0].collect()
    assert facts.alerts == {} and facts.silences == {} and facts.warnings == ()


def test_matchers_of_the_site_are_asked_for():
    with StandIn(matchers='cluster="groningen",env!~"test|\\"x"') as server:
        open_sources("c", server.settings)[0].collect()
        filters = [value for key, value in server.seen[0][1] if key == "filter"]
        assert filters == ['cluster="groningen"', 'env!~"test|\\"x"']
        assert server.seen[1][1] == [], "a filter would hide silences that name no cluster"


def test_without_the_silences_the_alerts_are_still_told(server):
    server.answers |= {"/alerts": [row(1)], "/silences": {"not": "a list"}}
    facts = open_sources("c", server.settings)[0].collect()
    assert len(facts.alerts) == 1 and facts.silences is None
    assert facts.warnings[0].startswith("silences: the answer is none of Alertmanager")


def test_named_ones_on_demand(server):
    gone, here, over = silence_row(1), silence_row(2), silence_row(3, "expired")
    server.answers["/alerts"] = [row(1), row(2)]
    server.answers |= {f"/silence/{one['id']}": one for one in (here, over)}
    desk = open_alert_reader("c", server.settings)
    assert list(desk.read_alerts(["0" * 15 + "2", "nobody"])) == ["0" * 15 + "2"]
    assert list(desk.read_silences([gone["id"], here["id"], over["id"], "../alerts", ""])) == [here["id"]]
    assert server.asked[1:] == [f"/silence/{one['id']}" for one in (gone, here, over)]


def test_a_404_of_somebody_else_is_no_answer(server):
    server.odd["*"] = lambda handler: handler.send(b"404 page not found", 404)
    with pytest.raises(SourceFault, match="404 page not found"):
        open_alert_reader("c", server.settings).read_silences([silence_row(1)["id"]])


# -- settings and site -------------------------------------------------------------------------------------------------


def test_it_is_found_by_itself_and_configured(tmp_path, monkeypatch):
    assert descriptors()["alertmanager"] is DESCRIPTOR
    file = tmp_path / "wacht.toml"
    file.write_text(f'[cluster.a]\nalertmanager = {{ url = "{URL}", node_labels = ["host"] }}\n')
    config = load(str(file), site=tmp_path / "none")
    site = choose(config, None)
    assert "alerts.alerts" in [source.name for source in site.collectors()]
    assert type(site.alert_reader()).__module__ == "collectors.alertmanager.sources"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ('url = "alertmanager:9093"', "url must begin with"),
        ('url = "https://u:p@x"', "no password"),
        ('url = "http://x.example", token_file = "t"', "in the clear"),
        ('url = "https://x", matchers = "cluster=groningen"', "matchers must be label matchers"),
        ('url = "https://x", node = "gpu"', "needs a group"),
        ('url = "https://x", node_labels = ["a-b"]', "is no label"),
        ('url = "https://x", node_labels = []', "length >= 1"),
        ('url = "https://x", verify = false', "unknown key"),
        ("", "missing required field"),
    ],
)
def test_wrong_settings_are_told(tmp_path, setting, told):
    file = tmp_path / "wacht.toml"
    file.write_text(f"[cluster.a]\nalertmanager = {{ {setting} }}\n")
    with pytest.raises(ConfigError, match=told):
        load(str(file), site=tmp_path / "none")


def test_the_desk_of_each_site(monkeypatch):
    monkeypatch.setenv("SLURM_CONF", "/dev/null")
    bare = choose(Config(clusters={"a": ClusterConfig(name="a")}), None).alert_reader()
    for read_ in (bare.read_alerts, bare.read_silences):
        with pytest.raises(SourceFault, match="no Alertmanager is configured"):
            read_(["x"])
    simulated = demo(SimSettings(nodes=4, seed=77)).alert_reader()
    assert simulated.read_alerts(["nobody"]) == {} and simulated.read_silences(["nobody"]) == {}
