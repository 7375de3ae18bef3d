"""The query table, what is written from it, and the settings that it is filled in with."""

from __future__ import annotations

import re
import subprocess
import sys

import msgspec
import pytest

from collectors.hosts import NodeNames
from collectors.prometheus import DESCRIPTOR, PowerSettings, PrometheusSettings, query_docs, recording_rules
from collectors.prometheus.query_table import BY_NAME, TABLE, by_host, fill, is_plain, quoted
from collectors.prometheus.site_queries import SiteQueries, exactly
from console.config.settings import ConfigError, load
from tests.support.paths import ROOT

URL = "https://prometheus.example"


def book(**settings) -> SiteQueries:
    return SiteQueries(PrometheusSettings(url=URL, **settings))


# -- what is written from it -------------------------------------------------------------------------------------------


def test_the_documentation_is_true():
    assert (ROOT / "docs/queries.md").read_text() == query_docs.text(), "write it: make docs, or docs.text()"


def test_the_rule_file_is_true():
    assert recording_rules.FILE.read_text() == recording_rules.text()


def test_the_rules_record_what_is_read():
    recorded = {series for _, series, _ in recording_rules.rules()}
    for source in (PowerSettings(), PowerSettings(node_series="x"), PowerSettings(rack_series="x")):
        read = book(power=source, recorded=True)
        for query in TABLE:
            if query.record:
                (needed,) = read.needs(query.name)
                assert needed in recorded and needed in read.whole(query.name)
    assert recorded == set(re.findall(r"record: (\S+)", recording_rules.text()))


def test_a_rule_is_the_query_itself():
    by_series = {series: expr for _, series, expr in recording_rules.rules()}
    plain = SiteQueries(recording_rules.DEFAULT)
    for query in TABLE:
        if query.record and query.name not in {"site_power", "site_util"}:
            assert plain.whole(query.name) in by_series[query.record]


def test_rules_can_be_written_for_a_site():
    own = PrometheusSettings(url=URL, matchers='cluster="g"', host_labels=("instance",), node="(.*)-dcgm")
    text = recording_rules.text(own)
    assert 'DCGM_FI_DEV_GPU_UTIL{cluster="g"}' in text and "(.*)-dcgm" in text
    assert "node_power" not in text and "rack_power" not in text and "wacht:site_gpu_power:sum" in text


def test_every_query_is_well_formed():
    full = SiteQueries(recording_rules.DEFAULT)
    for query in TABLE:
        for text in (full.whole(query.name), full.shown(query.name), full.chart(query.name, "gpu1", 'a="b"', 300)):
            assert text.count("(") == text.count(")") and text.count("{") == text.count("}")
            assert not re.search(r"<[A-Za-z]", text) and "{}" not in text and ",}" not in text
        assert (query.about and query.series) or query.name == "clock"
        whole = full.whole(query.name).replace("$uuids", "").replace("$span", "").replace("$series", "")
        whole = whole.replace("$hosts", "")
        whole = whole.replace("$steps", "")
        assert not re.findall(r"\$[a-z_]+", whole)
    assert len(BY_NAME) == len(TABLE)


# -- filling in --------------------------------------------------------------------------------------------------------


def test_matchers_stand_in_every_series():
    text = book(matchers='cluster="groningen"').whole("memory")
    assert text.count('cluster="groningen"') == 6
    assert 'GPU_I_ID!="",cluster="groningen"' in book(matchers='cluster="groningen"').whole("util")
    assert 'cluster="groningen",Hostname' not in book().whole("util")


def test_charts_sum_up_the_time_between_two_points():
    assert "_over_time" not in book().chart("util", "gpu1", 'Hostname="gpu1"', 60)
    assert 'avg_over_time(DCGM_FI_DEV_GPU_UTIL{Hostname="gpu1"}[300s])' in book().chart(
        "util", "gpu1", 'Hostname="gpu1"', 300
    )
    assert "max_over_time" in book().chart("temperature", "gpu1", 'Hostname="gpu1"', 300)
    recorded = book(recorded=True).chart("util", "gpu1", "", 300)
    assert recorded == 'max (avg_over_time(wacht:node_gpu_util:avg{node=~"gpu1"}[300s]))'


def test_a_chart_goes_back_beyond_the_day_when_the_host_label_was_renamed():
    spelled = NodeNames((("gpu1.x", None, None),)).spelled("gpu1.x")
    text = book().chart("temperature", spelled, 'hostname="gpu1.x"', 60)
    before, after = text.split(" or max (max by")
    assert before.count('{hostname="gpu1.x"}') == 2 and "Hostname=" not in before
    assert after.count('{Hostname=~"(gpu1\\\\.x|gpu1)(:[0-9]+)?"}') == 2
    for own in (book(host_labels=("instance",)), book(node="(.*)-dcgm"), book(queries={"temperature": "x"})):
        assert " or max (max by" not in own.chart("temperature", spelled, 'instance="gpu1"', 60)


def test_power_of_one_node_is_narrowed_down_where_it_can_be():
    plain = book(power=PowerSettings(node_series="ipmi_watts")).chart("node_power", "gpu1", "", 15)
    assert plain == 'max (ipmi_watts{instance=~"gpu1"})'
    own = PowerSettings(node_series="sum by (bmc) (psu)", node_label="bmc")
    joined = book(power=own).chart("node_power", "gpu1", "", 15)
    assert '"wanted", "yes", "bmc", "gpu1")' in joined and "on (wanted)" in joined


def test_an_own_query_is_sent_in_place_of_the_table():
    own = book(queries={"util": "avg by (Hostname) (<my_util>)"}, matchers='a="b"', recorded=True)
    assert own.whole("util").startswith("max by (Hostname,") and 'avg by (Hostname) (my_util{a="b"})' in own.whole(
        "util"
    )
    assert "on (wanted)" in own.chart("util", "gpu1", 'Hostname="gpu1"', 15)
    assert own.whole("memory") == "max by (node) (wacht:node_gpu_memory:percent)"


def test_strings_cannot_break_out():
    assert quoted('a"} or up{b="\\') == '"a\\"} or up{b=\\"\\\\"'
    assert exactly("h", ("a.b",)) == 'h="a.b"' and exactly("h", ("a.b", "c")) == 'h=~"a\\\\.b|c"'
    assert book().past_of(('x"', "y")).endswith(',UUID=~"x\\"|y"})')
    assert fill("<a> $x $1", {"x": "<b>"}) == "a <b> $1"
    assert by_host("x", ("p", "q"), None).index('"q"') < by_host("x", ("p", "q"), "(.*)").index('"p"')
    assert is_plain("a:b_c") and not is_plain("a{}") and not is_plain("sum(a)") and not is_plain(None)


def test_questions_fit_into_an_address():
    names = tuple(f"longer-node-name-{n:04d}.cluster.example.org" for n in range(40))
    assert len(book().among("gpu_fields", exactly("Hostname", names))) < 4000
    assert len(book().past_of(tuple(f"GPU-{n:08d}-0000-0000-0000-000000000000" for n in range(40)))) < 4000


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({}, "url"),
        ({"url": "prometheus:9090"}, "must begin with https://"),
        ({"url": "ftp://x"}, "must begin with https://"),
        ({"url": "https://"}, "name a host"),
        ({"url": "https://me:secret@x"}, "no password"),
        ({"url": "https://x/?a=b"}, "before any ?"),
        ({"url": "https://x:port"}, "url"),
        ({"url": "http://far.example", "token_file": "t"}, "not sent in the clear"),
        ({"url": URL, "queries": {"utl": "x"}}, "queries.utl is no query; allowed: bmc"),
        ({"url": URL, "node": "gpu.*"}, "needs a group"),
        ({"url": URL, "node": "(gpu"}, "no regular expression"),
        ({"url": URL, "host_labels": []}, "host_labels"),
        ({"url": URL, "host_labels": ["a b"]}, "no label"),
        ({"url": URL, "matchers": "cluster=groningen"}, "must be label matchers"),
        ({"url": URL, "matchers": 'a="b"} or up{c="d"'}, "must be label matchers"),
        ({"url": URL, "timeout_s": 0}, "timeout_s"),
        ({"url": URL, "interval_s": "15"}, "interval_s"),
        ({"url": URL, "tokens": "x"}, "tokens"),
    ],
)
def test_settings_that_cannot_be_are_refused(table, told):
    with pytest.raises(msgspec.ValidationError, match=re.escape(told)):
        msgspec.convert(table, DESCRIPTOR.settings)
    assert "secret" not in told


def test_settings_that_can_be_are_taken():
    for table in (
        {"url": "http://localhost:9090", "token_file": "~/t"},
        {"url": "https://prometheus.example/prom/", "ca": "/etc/ssl/site.pem"},
        {"url": "http://[::1]:9090", "matchers": 'a="b", c!~"d\\"e"'},
    ):
        assert msgspec.convert(table, DESCRIPTOR.settings).url == table["url"]


@pytest.mark.parametrize(
    ("power", "told"),
    [
        ("budget_mw = -1", "budget_mw"),
        ('node_label = "a b"', "no label"),
        ('rack_label = ""', "no label"),
        ('node = "x"', "needs a group"),
        ("watts = 3", "unknown key"),
    ],
)
def test_a_bad_power_table_names_its_key(tmp_path, power, told):
    path = tmp_path / "config.toml"
    path.write_text(f"[cluster.groningen]\npower = {{ {power} }}\n")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=told):
        load(str(path), site=tmp_path / "none")


def test_the_example_of_the_contract_is_taken(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(
        '[cluster.groningen]\nprometheus = { url = "https://p.example", ca = "/c.pem", token_file = "~/t" }\n'
        'power = { budget_mw = 6.5, node_series = "ipmi_dcmi_power_consumption_watts" }\n'
    )
    path.chmod(0o600)
    cluster = load(str(path), site=tmp_path / "none").clusters["groningen"]
    assert cluster.power == PowerSettings(budget_mw=6.5, node_series="ipmi_dcmi_power_consumption_watts")


def test_the_libraries_come_with_the_first_question():
    script = (
        "import sys; from collectors.prometheus import PrometheusSettings, sources;"
        "s = PrometheusSettings(url='http://127.0.0.1:1');"
        "sources.open_sources('x', s); sources.open_telemetry('x', s);"
        "early = [n for n in ('requests', 'httpx', 'prometheus_api_client') if n in sys.modules];"
        "from prometheus_api_client import PrometheusConnect;"
        "print(early, [n for n in ('numpy', 'pandas', 'matplotlib', 'dateparser') if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[] []"
