"""A site where all that anybody may write is hostile: Slurm's commands, Prometheus, Alertmanager, a journal."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.hostile.corpus import CORPUS
from tests.support import alertmanager_server, make, prometheus_server
from tests.support.journal_entries import Book, alert, drained, silence, waiting

#: The clusters' own words cannot hold what ends a field or a line; the rest of the corpus goes everywhere.
NAMES = [f"gpu{number:04d}" for number in range(1, len(CORPUS) + 1)]


def _word(text: str) -> str:
    """A text in a field of scontrol that ends at a blank."""
    return "".join("_" if char in " |\n\r\t\x0b\x0c\x85\u2028\u2029=" else char for char in text)[:2000] or "x"


def slurm(commands: make.Commands) -> None:
    """Every command that is read, with the corpus in every field that holds a text."""
    lines, rows, reasons, parts, booked = [], [], [], [], []
    for number, (name, text) in enumerate(zip(NAMES, CORPUS.values(), strict=True), 1):
        word = _word(text)
        free = f" Reason={text} [{word}@1795507276] Comment={text} Extra={text}"
        state = ("IDLE+DRAIN", "DOWN", "MIXED", f"IDLE+{word}")[number % 4]
        made = make.line(name, state, free, Partitions=f"gpu,{word}", Gres=f"gpu:{word}:8")
        lines.append(made.replace("ActiveFeatures=(null)", f"ActiveFeatures={word}").replace("26.05.5", word))
        cells = {"UserName": word, "QOS": word, "Account": word, "Reason": text.replace("|", "!"), "Name": text}
        held = {"State": "RUNNING", "NodeList": name, "StartTime": "1795509455"} if number % 2 else {"Partition": word}
        rows.append(make.row(JobArrayID=str(100 + number), **cells, **held))
        reasons.append(f"{name}|{word}|1795507276|{text}")
        parts.append(f"PartitionName={word} AllowAccounts={word} Default=NO QoS={word} State={word} Nodes={name} "
                     f"TotalCPUs=112 TotalNodes=1 MaxTime=UNLIMITED")  # fmt: skip
        booked.append(f"ReservationName={word} StartTime=1795507276 EndTime=1995507276 Nodes={name} NodeCnt=1 "
                      f"Flags={word} Users={word} Accounts={word} State=ACTIVE Comment={text}")  # fmt: skip
    parts.append("PartitionName=gpu Default=YES State=UP Nodes=gpu[0001-0099] TotalNodes=99")
    details = [json.dumps({"jobs": [{"job_id": 2, **dict.fromkeys(_DETAIL, text)}]}) for text in CORPUS.values()]
    for name, line in zip(NAMES, lines, strict=True):
        commands.says("scontrol", line.partition("\n")[0] + "\n", to=f"-a show node {name} -d -o")
    commands.says("scontrol", "Node forged not found\n", rc=1, to="-a show node forged -d -o")
    commands.says("scontrol", "".join(lines), to="-a show node -d -o")
    commands.says("scontrol", "\n".join([*parts, ""]), to="-a show partition -o")
    commands.says("scontrol", "\n".join([*booked, ""]), to="-a show reservation -o")
    commands.says("scontrol", "ClusterName = lab\nSlurmUser = x(1)\n\x1b[2JAccountingStorageType = \x1b]52;c;x\x07\n",
                  to="show config")  # fmt: skip
    commands.says("scontrol", details[0], to="show job * --json*")
    commands.says("scontrol", "JobId=2 JobName=x ", to="show job *")
    commands.says(
        "sinfo", "NODELIST|USER|TIMESTAMP|REASON@F\n" + "".join(f"{one}@F\n" for one in reasons), to="-a -R *"
    )
    commands.says("sinfo", "\n".join([*NAMES, ""]), to="-a -h -o %N")
    commands.says("sinfo", "".join(f"{_word(text)} x\n" for text in CORPUS.values()), to="-a -T -h")
    commands.says("squeue", make.squeue(*rows))
    commands.says("sdiag", "", err="slurm_load: error: \x1b]0;x\x07\x9b31m no \u202eway", rc=1)


_DETAIL = ("dependency", "current_working_directory", "command", "standard_output", "comment", "admin_comment",
           "features", "tres_req_str", "tres_alloc_str", "batch_host", "state_description", "required_nodes",
           "licenses", "standard_error", "container", "system_comment", "extra")  # fmt: skip


def alerts(where: alertmanager_server.StandIn) -> None:
    """Every text of the corpus in every label, annotation, comment and name."""
    where.answers["/alerts"] = [
        alertmanager_server.row(
            number, alertname=text, severity="critical", instance=NAMES[number - 1], pdu=text, job=text, rack=text
        )
        | {"annotations": {"summary": text, "description": text, "runbook_url": f"https://x/{text}", "x": text}}
        for number, text in enumerate(_told().values(), 1)
    ]
    odd = alertmanager_server.row(99) | {"labels": dict.fromkeys(_told().values(), "x") | {"alertname": "Keys"}}
    where.answers["/alerts"].append(odd)
    where.answers["/silences"] = [
        alertmanager_server.silence_row(number, comment=text, createdBy=text, endsAt="2099-01-01T00:00:00Z",
                       matchers=[{"name": "alertname", "value": text, "isRegex": number % 2 == 0, "isEqual": True}])
        for number, text in enumerate(_told().values(), 1)
    ]  # fmt: skip


def _told() -> dict[str, str]:
    """JSON holds no lone surrogate that msgspec would take."""
    return {key: text for key, text in CORPUS.items() if key != "surrogate"}


def telemetry(where: prometheus_server.StandIn) -> None:
    """A machine whose labels are hostile, and a server that warns so."""
    where.rows = prometheus_server.machine(len(NAMES))
    told = list(_told().values())
    where.warnings = dict.fromkeys(("util", "gpus"), told)
    fields = ("DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_POWER_USAGE")
    where.rows["gpu_fields"] = [
        ({"Hostname": NAMES[0], "gpu": str(number), "UUID": text, "modelName": text, "hpc_job": text, "__name__": name},
         50)
        for number, text in enumerate(told) for name in fields
    ]  # fmt: skip
    where.rows["hosts"] = [({"Hostname": name, "node": name}, 1) for name in NAMES]
    where.rows["util"] = [*where.rows["util"], *(({"node": text}, 1) for text in told)]
    where.rows["xids"] = [
        (prometheus_server.gpu(NAMES[number], number, UUID=text), 79) for number, text in enumerate(told)
    ]
    where.rows["rack_power"] = [({"rack": text}, 1000) for text in told]
    where.rows["cooling"] = [
        ({"what": what, "cdu": text, "rack": text, "place": text}, 50)
        for text in told for what in ("supply", "leak", "wet", "detectors")
    ]  # fmt: skip


def journal(path: Path) -> None:
    """A journal of actions with hostile text in every field, as another program may write it."""
    book = Book()
    for number, text in enumerate(CORPUS.values()):
        rows: Any = [drained("n1", text, text), waiting("1", text), alert("f1", text), silence("s1", text, text, text)]
        for action, row in zip(("resume", "hold", "take", "lift"), rows, strict=True):
            more = {"ssh": text, "session": text, "cluster": text, "note": text, "undoes": text, "broke_glass": text}
            states = "done" if number % 2 else None
            ago = number * 600 - time.time() + 1_795_000_000
            book.act(f"{number}{action}", action, [row], states, text, ago=ago, who=text, **more)
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{json.dumps(one, default=vars)}\n" for one in book.records), "ascii")
