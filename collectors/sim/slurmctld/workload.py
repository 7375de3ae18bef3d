"""The workload: users and accounts of a Dutch AI factory, and the jobs they submit."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from msgspec import Struct

from collectors.clean import clean
from collectors.model import Job
from collectors.sim.plant.site_layout import DAY, HOUR, SimSite

# user, account, share of the submissions, fair-share points
USERS = (
    ("alice", "rug-nlp", 14, 4200),
    ("bob", "rug-nlp", 9, 5100),
    ("hveenstra", "umcg-imaging", 9, 6800),
    ("sbakker", "umcg-imaging", 5, 7400),
    ("mdejong", "tno-energy", 8, 5900),
    ("fkoopmans", "tno-energy", 3, 8100),
    ("lvisser", "tue-robotics", 6, 7000),
    ("rchen", "uva-vision", 8, 4700),
    ("emulder", "uva-vision", 5, 6300),
    ("nyilmaz", "surf-weather", 6, 6600),
    ("pdevries", "knmi-nowcast", 4, 8800),
    ("okuipers", "wur-crops", 4, 7700),
    ("tsmit", "astron-lofar", 6, 5600),
    ("ivanderwal", "astron-lofar", 2, 9000),
    ("jhoekstra", "fryslan-water", 2, 9300),
    ("gpeters", "gpt-nl", 7, 3100),
    ("asingh", "gpt-nl", 6, 3300),
    ("kjansen", "ing-fraud", 3, 7900),
    ("ywillems", "asml-litho", 4, 5200),
    ("dmeijer", "rug-chem", 3, 8300),
)


class JobKind(Struct, frozen=True):
    """One kind of job: nodes and GPUs per node that it may request, its time limits, the size of an array.

    0 nodes means a share of the cluster; 8 GPUs alone mean all GPUs of a node, whatever their number.
    """

    weight: float
    names: tuple[str, ...]
    nodes: tuple[int, ...]
    gpus: tuple[int, ...]
    hours: tuple[float, ...]
    partition: str = "gpu"
    qos: str = "normal"
    batch: bool = True
    tasks: tuple[int, int] = (1, 1)


KINDS = (
    JobKind(30, ("eval", "eval_mmlu", "infer", "embed_docs"), (1,), (1, 2, 4), (2, 4, 8)),
    JobKind(16, ("finetune-llama", "sft-mistral", "lora_geitje", "dpo"), (1,), (4, 8, 8), (12, 24, 48)),
    JobKind(8, ("preprocess", "tokenize_nl", "dedup"), (1,), (1, 2), (6, 12)),
    JobKind(7, ("train_1b", "train_unet", "whisper-nl", "segment3d"), (1, 2, 2, 4), (8,), (12, 24, 48)),
    JobKind(1.6, ("train_7b", "weather-gan", "foundation_ct"), (4, 8, 8, 16), (8,), (48, 72)),
    JobKind(0.14, ("train_70b", "pretrain_nl", "moe_8x7b"), (16, 32, 48, 64), (8,), (48, 72), qos="large"),
    JobKind(0.02, ("gpt-nl-pretrain", "scaling-run"), (0,), (8,), (24, 48), qos="large"),
    JobKind(14, ("gromacs", "alphafold", "openfoam", "lofar_image"), (1,), (1, 1, 2, 4), (8, 24, 48)),
    JobKind(1, ("digital_twin", "climate_ens"), (1, 2), (8,), (120, 168), partition="long"),
    JobKind(4, ("hpo_sweep", "seeds", "ablate"), (1,), (1, 1, 2), (2, 4, 6), tasks=(4, 60)),
    JobKind(6, ("test", "smoke", "debug_nccl"), (1,), (1, 2, 8), (0.25, 0.5, 1), partition="debug"),
    JobKind(5, ("interactive", "jupyter"), (1,), (1, 1, 2), (1, 4, 8), batch=False),
)

# Untrusted text as a user can put it into a job name or a comment; the console must survive it.
HOSTILE = (
    "\x1b[2J\x1b[31mroot",
    "\x1b]52;c;cm0gLXJmIC8=\x07copy",
    "evil\n99999|RUNNING|root|x",
    "[/]",
    "[bold red]up[/bold red]",
    "[@click=app.quit]quit[/]",
    "\u202egnp.exe\u202c",
    "a\u200bb\ufeffc\x9bJ",
    "train_" + "7b" * 120,
    "模型训练任务_第七批次_全角文字",
    "e" + "\u0301" * 40,
    "👩‍🔬🇳🇱 run",
    "\x00\x7f\udc9b",
    "-rf --help",
    "  spaced  ",
)


def _shares(factors: Iterable[float]) -> list[float]:
    """Cumulative weights of the job kinds, each multiplied by its factor."""
    return list(accumulate(kind.weight * factor for kind, factor in zip(KINDS, factors, strict=True)))


class Submission(Struct, gc=False):
    """One submission: a job, or the tasks of an array."""

    jobs: list[Job]
    batch: bool
    requeue: bool


class Workload:
    """Draws random submissions. One random source: a seed gives one sequence."""

    def __init__(self, rng: random.Random, site: SimSite, began: float, hostile: bool = False) -> None:
        self._rng = rng
        self._site = site
        self._began = began
        self._next = 88_000 + rng.randrange(9000)
        self.hostile = hostile
        self._kinds = {
            "new": _shares(1.0 for _ in KINDS),
            # Long jobs are more frequent among the running; jobs that start at once are rare among the pending.
            "running": _shares(sum(kind.hours) / len(kind.hours) for kind in KINDS),
            "waiting": _shares(0.1 if kind.partition == "debug" else 1.0 for kind in KINDS),
        }
        self._users = list(accumulate(user[2] for user in USERS))

    def draw(self, submitted: float, most: int, among: str = "new") -> Submission:
        """A submission at time `submitted` with at most `most` tasks. `among` selects the mix: new, running or
        waiting jobs."""
        rng, shares = self._rng, self._kinds[among]
        kind = KINDS[bisect_right(shares, rng.random() * shares[-1])]
        user, account, _, fair = USERS[bisect_right(self._users, rng.random() * self._users[-1])]
        section = self._site.partitions[kind.partition]
        # Jobs that could never run are useless here: sizes are limited to a sixth of the partition.
        nodes = rng.choice(kind.nodes) or int(section.size * rng.uniform(0.06, 0.16))
        nodes = max(1, min(nodes, section.size // 6))
        gpus = min(rng.choice(kind.gpus), self._site.gpus) if kind.gpus != (8,) else self._site.gpus
        limit = int(min(rng.choice(kind.hours) * HOUR, section.limit_s))
        low, high = kind.tasks
        # Arrays grow with the cluster: at the design point they have thousands of tasks.
        tasks = 1 if high == 1 else min(most, rng.randint(low, high) * max(1, len(self._site.hosts) // 512))
        name = rng.choice(kind.names)
        if self.hostile and rng.random() < 0.3:
            name = clean(rng.choice(HOSTILE))
        self._next += 1
        age = int((submitted - self._began) / 60)
        priority = max(1, 100_000 + fair // 4 + 40 * min(nodes, 40) + (2000 if kind.qos == "large" else 0) - age)
        base = str(self._next)
        ids = [base] if tasks == 1 and high == 1 else [f"{base}_{task}" for task in range(tasks)]
        self._next += max(0, tasks - 1)
        jobs = [
            Job(
                id=job,
                name=name,
                user=user,
                account=account,
                partition=kind.partition,
                qos=kind.qos,
                state="PENDING",
                reason="Priority",
                node_count=nodes,
                cpus=nodes * gpus * self._site.hardware.cpus_per_gpu,
                gpus=nodes * gpus,
                submitted=int(submitted),
                time_limit_s=limit,
                priority=priority,
                restarts=0,
            )
            for job in ids
        ]
        return Submission(jobs, kind.batch, kind.batch and rng.random() < 0.9)

    def waited_s(self) -> float:
        """Random seconds that a pending job has waited: mostly hours, for some more than a day."""
        return min(4 * DAY, self._rng.expovariate(1 / (5 * HOUR)))

    def run_time(self, limit: int) -> tuple[float, str]:
        """Random run time in seconds and end state of a job, for a time limit in seconds. Few jobs use all of it."""
        rng = self._rng
        end_state = rng.random()
        used = 0.02 + 0.9 * rng.random() ** 1.6
        if end_state < 0.80:
            return limit * used, "COMPLETED"
        if end_state < 0.91:
            return limit * used * 0.3, "FAILED"
        if end_state < 0.95:
            return limit * used * 0.6, "CANCELLED"
        return float(limit), "TIMEOUT"
