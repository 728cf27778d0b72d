"""Two searches with four hands each on one study in a PostgreSQL, and all that can befall them.

Processes are killed every few seconds, connections are cut, the server is away, a search sleeps beyond its lease, and
the clock of one shows another hour: nothing is lost, doubled or stuck, and nobody sees a traceback or the password.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from conftest import scaled
from searching import How, Search, count, read_log, require_decent, require_whole, write_study
from servers import Server

TRIALS, CUTS = scaled(40, 1200), scaled(6, 150)
AWAY, OUTAGES = scaled(3, 60), scaled(1, 2)
LEASE, SLEEP = scaled(2, 10), scaled(4, 30)
HALVING, REPLICATES = {"first": 1, "factor": 2}, {"of": "spread", "networks": 3, "seeds": 2}
BETWEEN = (0.2, 0.6) if scaled(0, 1) == 0 else (1.0, 3.0)


@dataclass
class Storm:
    """What befalls a study.

    Attributes:
        server: Of the database.
        url: Of the database.
        path: Of the study file.
        places: How each of the two searches is run.
        running: The search at each place.
        searches: All that there were.
        happened: How often what has happened.
        killed: Trainings whose hand was killed, which no test does twice.
    """

    server: Server
    url: str
    path: Path
    places: list[How]
    running: list[Search] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)
    killed: set[str] = field(default_factory=set)

    def begin(self, how: How) -> Search:
        self.searches.append(Search(self.path, self.path.with_name(f"output_{len(self.searches)}"), how))
        return self.searches[-1]

    def restart(self) -> bool:
        """Begin again what was killed; tell whether both searches have come to their end."""
        for place, one in enumerate(self.running):
            assert one.process.exitcode in (None, 0, 2, -signal.SIGKILL), one.told
            if one.process.exitcode not in (None, 0):
                self.running[place] = self.begin(self.places[place])
        return all(one.process.exitcode == 0 for one in self.running)

    def kill_hand(self, generator: random.Random) -> None:
        log = self.path.with_suffix(".log")
        lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        last = {int(line[-1]): line[1].rpartition(".")[0] for line in lines}
        alive = [pid for pid in last if psutil.pid_exists(pid) and last[pid] not in self.killed]
        if alive:
            pid = generator.choice(alive)
            self.killed.add(last[pid])
            psutil.Process(pid).kill()
            self.happened["hands killed"] += 1

    def kill_search(self, generator: random.Random) -> None:
        one = generator.choice(self.running)
        if one.process.is_alive():
            one.kill()
            self.happened["searches killed"] += 1

    def cut(self, generator: random.Random) -> None:
        self.happened["connections cut"] += self.server.cut(self.url, most=generator.randint(1, 3))

    def stop_server(self, generator: random.Random) -> None:
        self.server.stop()
        time.sleep(AWAY)
        self.server.start()
        self.happened["outages"] += 1

    def let_sleep(self, generator: random.Random) -> None:
        one = generator.choice(self.running)
        if one.process.is_alive():
            one.signal(signal.SIGSTOP)
            time.sleep(SLEEP)
            one.signal(signal.SIGCONT)
            self.happened["sleeps"] += 1


@pytest.mark.endurance
def test_nothing_is_lost_doubled_or_stuck(postgresql: Server, tmp_path: Path) -> None:
    path = write_study(tmp_path / "storm.yaml", trials=TRIALS, halving=HALVING, replicates=REPLICATES)
    url, generator, began = postgresql.new_database(), random.Random(0), time.monotonic()
    how = How(url, workers=4, lease=LEASE, idle=4, seconds=scaled(1, 3) / 5)
    storm = Storm(postgresql, url, path, [how._replace(hours_ahead=1), how._replace(host="elsewhere")])
    storm.running = [storm.begin(how) for how in storm.places]
    milestones = {TRIALS * (k + 1) // (OUTAGES + 2): storm.stop_server for k in range(OUTAGES)}
    milestones[TRIALS * (OUTAGES + 1) // (OUTAGES + 2)] = storm.let_sleep
    try:
        storm.running[0].trained(path, url, least=2)
        while not storm.restart():
            time.sleep(generator.uniform(*BETWEEN))
            ended = sum(count(path, url, state) for state in ("trained", "stopped", "repeated"))
            for due in [due for due in milestones if due <= ended]:
                milestones.pop(due)(generator)
            draw = generator.random()
            if draw < 0.3:
                storm.kill_hand(generator)
            elif draw < 0.4:
                storm.kill_search(generator)
            elif storm.happened["connections cut"] < CUTS:
                storm.cut(generator)
    finally:
        for one in storm.running:
            one.process.kill()
    study = require_whole(path, url, trials=TRIALS)
    require_decent(*storm.searches)
    codes = Counter(one.process.exitcode for one in storm.searches)
    away = [one for one in storm.searches if one.process.exitcode == 2]
    assert set(codes) <= {0, -signal.SIGKILL, 2} and not milestones
    for one in away:  # it began while the server was away, or a connection was cut before its first training
        assert one.told.strip().splitlines()[-1].startswith("nas: postgresql+psycopg://nas:***@127.0.0.1"), one.told
    begun, finished = read_log(path)
    print(
        f"{len(study.trials())} trials, {sum(finished.values())} trainings and parts of them ended, begun"
        f" {sum(begun.values())} times; {dict(storm.happened)}; exit codes {dict(codes)};"
        f" {time.monotonic() - began:.0f} s"
    )
