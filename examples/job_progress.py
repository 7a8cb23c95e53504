"""Jobs in several processes, whose progress one program shows: here, and in the same room to everyone who joins it.

Change `work` to what a job is, JOBS and WORKERS. Each process makes clients of its own, because one that was made
before a fork is of no use in the child. ZCHAT_URL names another broker.
"""

import multiprocessing
import os
import time

import zchat

URL = os.environ.get("ZCHAT_URL", "tcp://127.0.0.1:5555")
ROOM = "jobs"
JOBS = 20
WORKERS = 2
STEPS = 10


def work(job: int) -> None:
    with zchat.Client(URL, user=f"worker-{os.getpid()}") as client:
        room = client.join(ROOM)
        for step in range(1, STEPS + 1):
            time.sleep(0.01)  # the work
            room.send({"job": job, "done": step / STEPS})  # it is stored once this returns


def main() -> None:
    done = dict.fromkeys(range(JOBS), 0.0)
    share = 0.0
    with zchat.Client(URL, user="progress") as client, multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        room = client.join(ROOM)  # before the first job begins
        jobs = pool.map_async(work, done, chunksize=1)
        while share < 1:
            for batch in room.batches(timeout=0.2):
                done.update((said["job"], said["done"]) for said in batch.bodies)
                share = sum(done.values()) / JOBS
                print(f"\r[{'#' * int(share * 40):40}] {share:4.0%}", end="", flush=True)
            if jobs.ready():
                jobs.get()  # raises what a job has raised
    print(f"\n{JOBS} jobs are done")


if __name__ == "__main__":
    main()
