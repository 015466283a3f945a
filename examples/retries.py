"""What failures cost a run over a billion faces: machines that die, tasks that hang, records that are bad, simulated.

    python examples/retries.py [FACES [MACHINES]]

Each machine works on tasks, one after the other, as the actors of lfic transcode --ray do. A machine dies after an
exponential time and is replaced after another; its task is done again from the start by whoever is free. One task in
some thousands hangs, on a disk that does not answer for example, until it is killed at a limit. What counts is how much
longer than an undisturbed run it takes, and how much work is done twice. The figures behind docs/scale.md.
"""

import dataclasses
import heapq
import random
import sys


@dataclasses.dataclass
class Cluster:
    """Seconds, but where said otherwise."""

    machines: int
    faces_per_second: float = 2200.0  # of a machine of 16 cores at 137 a core
    faces_per_task: int = 10_000  # a shard
    life: float = 5 * 24 * 3600.0  # mean, of a machine; cloud machines at half price live some days, others years
    replaced_after: float = 300.0  # mean
    hangs: float = 1e-4  # share of tasks
    limit: float = 600.0  # after which a task is taken for hung
    driver_life: float = 30 * 24 * 3600.0  # the run is started again with --resume
    driver_restart: float = 1800.0  # until somebody notices


def simulate(cluster: Cluster, faces: int, seed: int) -> tuple[float, float, int, int, int]:
    """(hours, share of work that was done twice, dead machines, hung tasks, dead drivers)."""
    chance = random.Random(seed)
    left = -(-faces // cluster.faces_per_task)
    task = cluster.faces_per_task / cluster.faces_per_second
    deaths = {machine: chance.expovariate(1 / cluster.life) for machine in range(cluster.machines)}
    free = [(0.0, machine) for machine in range(cluster.machines)]  # when, who
    driver_dies = chance.expovariate(1 / cluster.driver_life)
    wasted = 0.0
    dead = hung = drivers = 0
    end = 0.0
    while left:
        now, machine = heapq.heappop(free)
        if now >= driver_dies:  # all that runs is lost, what was committed is not
            drivers += 1
            wasted += cluster.machines * task / 2
            back = driver_dies + cluster.driver_restart
            free = [(max(when, back), who) for when, who in free] + [(max(now, back), machine)]
            heapq.heapify(free)
            driver_dies = back + chance.expovariate(1 / cluster.driver_life)
            continue
        hangs = chance.random() < cluster.hangs
        ready = now + (cluster.limit if hangs else task)
        if deaths[machine] < ready:
            wasted += max(0.0, deaths[machine] - now)
            dead += 1
            back = max(now, deaths[machine]) + chance.expovariate(1 / cluster.replaced_after)
            deaths[machine] = back + chance.expovariate(1 / cluster.life)
            heapq.heappush(free, (back, machine))
            continue
        if hangs:
            hung += 1
            wasted += cluster.limit
        else:
            left -= 1
            end = max(end, ready)
        heapq.heappush(free, (ready, machine))
    useful = -(-faces // cluster.faces_per_task) * task
    return end / 3600, wasted / useful, dead, hung, drivers


def main(faces: int, machines: int) -> None:
    print(f"{faces:,} faces on {machines} machines of 16 cores")
    print("mean life of a machine   faces a task    hours   undisturbed   work twice   dead   hung   drivers")
    for life, name in ((30 * 24, "30 days"), (5 * 24, "5 days"), (12, "12 hours"), (2, "2 hours")):
        for per_task in (10_000, 1_000_000):
            # A task that takes longer than a machine lives never ends; the limit of a hung one grows with it.
            cluster = Cluster(machines, faces_per_task=per_task, life=life * 3600.0)
            cluster.limit = max(600.0, 3 * per_task / cluster.faces_per_second)
            runs = sorted(simulate(cluster, faces, seed) for seed in range(3))
            hours, twice, dead, hung, drivers = runs[1]
            ideal = faces / cluster.faces_per_second / machines / 3600
            print(
                f"{name:>22}   {per_task:12,}   {hours:6.2f}   {ideal:11.2f}   {100 * twice:8.2f} %   {dead:4}"
                f"   {hung:4}   {drivers:7}"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10**9, int(sys.argv[2]) if len(sys.argv) > 2 else 20)
