"""Studies: are the rows the same wherever they are made, whatever is killed; what Dask costs; what memory they take.

    python benchmarks/bench_study.py same    FACES   # serial, embedded, two workers of `dask worker`
    python benchmarks/bench_study.py kill    FACES   # a worker killed every few seconds, the client 10 times
    python benchmarks/bench_study.py speed   FACES   # against a pool of processes, at 1, 2, … workers
    python benchmarks/bench_study.py memory  FACES   # of client, scheduler and workers over many rows

FACES is a folder of photos with .pts files, or a glob. Workers are processes of this machine; a busy machine spoils
`speed` alone, which is what is done, with some of the reference data, when nothing is asked for.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from clnf_engine.processes import end_with_parent
from clnf_engine.studies.cluster import Cluster
from clnf_engine.studies.making import Made, fit_part, write_part
from clnf_engine.studies.parts import TIMES, scan
from clnf_engine.studies.plan import Done, Study, Task, tasks
from clnf_engine.studies.variants import Start, grid

AXES = ("sigma=1,1.5,2", "normalization=none,peak", "reg_factor=15,25", "max_iterations=5,10")
"""24 variants."""

RUN = [sys.executable, "-m", "clnf_engine", "study", "run"]


def command(faces: str, results: Path, *more: str) -> list[str]:
    return [*RUN, faces, "-o", str(results), *(word for axis in AXES for word in ("-G", axis)), *more]


def rows(results: Path) -> dict[str, str]:
    """All of every row but its times, by its id; fails where a row is there twice."""
    import pyarrow.parquet as pq

    found: dict[str, str] = {}
    for part in scan(results):
        for row in pq.read_table(part.path).to_pylist():
            assert row["row"] not in found, f"{row['row']} is there twice"
            found[row["row"]] = repr({name: value for name, value in row.items() if name not in TIMES})
    return found


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    """The address of a scheduler with workers, each started by hand as on a cluster."""
    dask = [sys.executable, "-m", "dask"]
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "w+") as log:
        begun = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        processes = [subprocess.Popen(begun, stdout=log, stderr=log, cwd=folder)]
        try:
            while not (match := re.search(r"tcp://[0-9.:]+", (Path(folder) / "log").read_text())):
                assert processes[0].poll() is None, "the scheduler did not start"
                time.sleep(0.1)
            address = match.group()
            worker = [*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
            for _ in range(workers):
                processes.append(subprocess.Popen(worker, stdout=log, stderr=log, cwd=folder))
            yield address
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait()


# --- same, kill -------------------------------------------------------------------------------------


def same(faces: str, folder: Path) -> None:
    """The rows of three ways to make them."""
    subprocess.run(command(faces, folder / "serial", "--workers", "0"), check=True)
    subprocess.run(command(faces, folder / "embedded", "--workers", "2"), check=True)
    with cluster(2) as address:
        subprocess.run(command(faces, folder / "external", "--scheduler", address), check=True)
    serial = rows(folder / "serial")
    for other in ("embedded", "external"):
        print(f"{other}: {len(serial)} rows, {'identical' if rows(folder / other) == serial else 'DIFFERENT'}")


def kill(faces: str, folder: Path, every: float) -> None:
    """The rows of a run whose workers are killed every few seconds, and of one that is itself killed ten times."""
    subprocess.run(command(faces, folder / "serial", "--workers", "0"), check=True)
    serial = rows(folder / "serial")

    client = subprocess.Popen(command(faces, folder / "workers", "--workers", "2"))
    killed = 0
    while client.poll() is None:
        time.sleep(every)
        if victims := workers_of(client.pid):
            random.choice(victims).kill()
            killed += 1
    print(f"{killed} workers killed, exit {client.returncode}: {told(serial, folder / 'workers')}")

    killed = 0
    while killed < 10:
        client = subprocess.Popen(command(faces, folder / "client", "--workers", "2"))
        try:
            client.wait(random.uniform(every, 3 * every))
            break
        except subprocess.TimeoutExpired:
            client.send_signal(signal.SIGKILL)
            client.wait()
            killed += 1
            print(f"killed with {sum(part.n_rows for part in scan(folder / 'client'))} rows", flush=True)
    subprocess.run(command(faces, folder / "client", "--workers", "2"), check=True)
    print(f"client killed {killed} times: {told(serial, folder / 'client')}")


def told(serial: dict[str, str], results: Path) -> str:
    there = rows(results)
    verdict = "identical" if there == serial else f"DIFFERENT, {len(serial.keys() - there.keys())} missing"
    return f"{len(there)} of {len(serial)} rows, {verdict}"


def workers_of(pid: int) -> list[psutil.Process]:
    """Worker processes of an embedded cluster."""
    try:
        children = psutil.Process(pid).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.Error:
        return []


# --- speed ------------------------------------------------------------------------------------------


def speed(faces: str, folder: Path, most: int, turns: int) -> None:
    """CPU and wall per row of a pool of processes and of a study, one after the other in one run; minima."""
    study = Study(faces, grid(AXES))
    counts = [count for count in (1, 2, 4, 8, 16) if count <= most]
    best: dict[tuple[str, int], tuple[float, float]] = {}
    shares: list[float] = []
    for turn in range(turns):
        for count in counts:
            results = folder / f"{turn}-{count}"
            for what in ("pool", "study"):
                if what == "pool":
                    cpu, wall, n_rows, share = in_pool(study, folder / f"pool-{turn}-{count}", count)
                else:
                    cpu, wall, n_rows, share = in_study(study, results, count)
                    shares.append(share)
                before = best.get((what, count), (float("inf"), float("inf")))
                best[what, count] = min(before[0], cpu / n_rows), min(before[1], wall / n_rows)
    for count in counts:
        (cpu, wall), (cpu_of_study, wall_of_study) = best["pool", count], best["study", count]
        print(
            f"{count} workers: CPU per row {1e3 * cpu_of_study:.2f} ms, pool {1e3 * cpu:.2f} ms, "
            f"{cpu / cpu_of_study:.3f}"
            f"; wall {1e3 * wall_of_study:.2f} ms, pool {1e3 * wall:.2f} ms, {wall / wall_of_study:.3f}"
            f"; efficiency {best['study', 1][1] / (count * wall_of_study):.2f}"
        )
    print(f"client and scheduler: {100 * min(shares):.1f} % of the CPU at best, {100 * max(shares):.1f} % at worst")


def in_pool(study: Study, folder: Path, count: int) -> tuple[float, float, int, float]:
    """CPU seconds of the processes, wall seconds, rows: of a pool that makes and writes the same parts."""
    todo = list(tasks(study, Done(), lambda task: max(1, 100 // task.ways), lambda image: None))
    (folder / "parts").mkdir(parents=True)
    with ProcessPoolExecutor(count, get_context("spawn"), end_with_parent) as pool:
        list(pool.map(fit_part, todo[:count]))  # begun, and the kernels loaded
        cpu, begun, n_rows = cpu_below(), time.perf_counter(), 0
        for made in pool.map(fit_part, todo):
            write_part(folder, made.name, made.content)
            n_rows += made.n_rows
        return cpu_below() - cpu, time.perf_counter() - begun, n_rows, 0.0


def in_study(study: Study, results: Path, count: int) -> tuple[float, float, int, float]:
    """The same of a study once its workers are there; and the share of the CPU of client and scheduler."""
    from clnf_engine.studies import run

    marks: list[tuple[float, float, float, int]] = []
    loop, n_rows, n_tasks = run._run_on, 0, 0

    def measured(cluster: Cluster, todo: Iterator[Task], keep: Callable[[Task, Made], None], size: Any) -> None:
        def counting(task: Task, made: Made) -> None:
            nonlocal n_rows, n_tasks
            keep(task, made)
            n_rows, n_tasks = n_rows + made.n_rows, n_tasks + 1
            if n_tasks == 3 * count:  # all workers are there, with their kernels
                marks.append((cpu_below(), time.process_time(), time.perf_counter(), n_rows))

        loop(cluster, todo, counting, size)
        marks.append((cpu_below(), time.process_time(), time.perf_counter(), n_rows))

    run._run_on = measured
    try:
        run.run_study(study, results, workers=count)
    finally:
        run._run_on = loop
    below, own, wall, rows_between = (after - before for before, after in zip(*marks, strict=True))
    return below, wall, rows_between, own / (below + own)


def cpu_below() -> float:
    """CPU seconds of all processes below this one that live."""
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children(recursive=True))


# --- memory -----------------------------------------------------------------------------------------


def memory(faces: str, folder: Path, n_rows: int) -> None:
    """Memory of the processes of a study of many rows, from starts drawn anew for every photo."""
    from clnf_engine.studies.data import count_photos
    from clnf_engine.studies.run import Outcome, run_study

    variants = grid(["sigma=1,1.5,2", "normalization=none,peak"], ["max_iterations=1", "windows=7"])
    seeds = max(1, n_rows // (len(variants) * count_photos(faces)))
    study = Study(faces, variants, tuple(Start("box", 0.1, 0.0, seed) for seed in range(seeds)))
    outcome = Outcome()
    watching = subprocess.Popen([sys.executable, __file__, "watch", str(os.getpid())])
    try:
        run_study(study, folder / "many", workers=2, outcome=outcome)
    finally:
        watching.terminate()
        watching.wait()
    size = sum(part.path.stat().st_size for part in scan(folder / "many"))
    print(f"{outcome.rows} rows, {size / outcome.rows:.0f} bytes each")


def watch(pid: int) -> None:
    """Print what the processes of a run take, MiB, every few seconds."""
    while True:
        own = psutil.Process(pid).memory_info().rss >> 20
        workers = [child.memory_info().rss >> 20 for child in workers_of(pid)]
        print(f"client and scheduler {own} MiB; workers {workers}", flush=True)
        time.sleep(5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("CLNF_SHARED") or Path(__file__).resolve().parents[2] / "shared") / "faces"
    some = str(shared / "*[05].jpg") if shared.is_dir() else ""
    parser.add_argument("what", nargs="?", choices=("same", "kill", "speed", "memory", "watch"), default="speed")
    parser.add_argument("faces", nargs="?", default=some)
    parser.add_argument("--rows", type=int, default=100_000, help="of memory (100000)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between kills (5)")
    parser.add_argument("--turns", type=int, default=3, help="of speed (3)")
    parser.add_argument("--most", type=int, default=os.cpu_count() or 1, help="workers of speed")
    args = parser.parse_args()
    if not args.faces:
        print("no faces: name a folder of some")
        return
    if args.what == "watch":
        watch(int(args.faces))
    with tempfile.TemporaryDirectory() as folder:
        if args.what == "memory":
            memory(args.faces, Path(folder), args.rows)
        elif args.what == "speed":
            speed(args.faces, Path(folder), args.most, args.turns)
        else:
            kill(args.faces, Path(folder), args.every) if args.what == "kill" else same(args.faces, Path(folder))


if __name__ == "__main__":
    main()
