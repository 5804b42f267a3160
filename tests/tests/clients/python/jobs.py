"""The tasks that frameworks.py has done by Celery and RQ, with the server on the port in JOBS_PORT."""

import os

from celery import Celery

URL = f"redis://127.0.0.1:{os.environ['JOBS_PORT']}"

app = Celery("jobs", broker=f"{URL}/1", backend=f"{URL}/2")
app.conf.update(
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    result_expires=3600,
)


@app.task(name="jobs.add")
def add(a, b):
    return a + b


@app.task(name="jobs.total")
def total(numbers):
    return sum(numbers)


@app.task(name="jobs.shaky", bind=True, max_retries=3)
def shaky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.05, exc=ValueError("not yet"))
    return self.request.retries


def work_later(text):
    return text.upper()
