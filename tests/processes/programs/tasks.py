"""Tasks for Celery's workers; run as a program, it sends them tasks as told on stdin."""

from __future__ import annotations

import json
import sys
from typing import Any

from celery import Celery

from .common import SETTINGS, make_auth, work

app = Celery("tests.processes.programs.tasks", broker=SETTINGS["redis"], backend=SETTINGS["redis"])
app.conf.worker_prefetch_multiplier = 1


def task() -> list[Any]:
    return work(AUTH)


app.task(task)


if __name__ == "__main__":
    for line in sys.stdin:
        results = [app.send_task("tests.processes.programs.tasks.task") for _ in range(int(line))]
        print(json.dumps([result.get(timeout=30) for result in results]), flush=True)
else:
    AUTH = make_auth()
