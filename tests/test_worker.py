"""Workers: limits that solvers ignore, crashes, and answers all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from random import Random
from threading import Event, Thread
from time import monotonic, sleep

import pytest

from mapproof.proofs import worker
from mapproof.proofs.cache import Cache, CachedPool, Mode
from mapproof.proofs.worker import Pool, Worker

UNSAT = "(set-logic ALL)(declare-const x Int)(assert (! (> x {n}) :named a))(assert (< x {n}))"
SAT = "(set-logic ALL)(declare-const x Int)(assert (> x {n}))"
FOREVER = 600.0


def script(number: int, *, unsat: bool) -> str:
    named = "(set-option :produce-unsat-cores true)"
    return named + (UNSAT if unsat else SAT).format(n=number) + "(check-sat)\n"


def pigeons(holes: int) -> str:
    """Too hard for any solver here."""
    birds = range(holes + 1)
    names = [f"(declare-const x{p}_{h} Bool)" for p in birds for h in range(holes)]
    homes = [f"(assert (or {' '.join(f'x{p}_{h}' for h in range(holes))}))" for p in birds]
    alone = [
        f"(assert (not (and x{p}_{h} x{q}_{h})))"
        for h in range(holes)
        for p in birds
        for q in range(p)
    ]
    option = "(set-option :produce-unsat-cores true)(set-logic ALL)"
    return "\n".join([option, *names, *homes, *alone, "(check-sat)\n"])


@pytest.fixture
def one() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


@pytest.mark.parametrize("solver", ["z3", "cvc5"])
def test_answers(one: Worker, solver: str) -> None:
    unsat = one.solve(solver, script(1, unsat=True), 5000)
    assert (unsat.answer, unsat.core) == ("unsat", ("a",))
    assert unsat.solver.startswith(f"{solver} ")
    assert one.solve(solver, script(1, unsat=False), 5000).answer == "sat"
    wrong = one.solve(solver, "(assert", 5000)
    assert (wrong.answer, "cannot read" in wrong.reason) == ("unknown", True)
    assert one.solve(solver, script(1, unsat=True), 5000).answer == "unsat"


@pytest.mark.parametrize("solver", ["z3", "cvc5"])
def test_time_limit(one: Worker, solver: str) -> None:
    outcome = one.solve(solver, pigeons(12), 300)
    assert (outcome.answer, outcome.reason) == ("unknown", "time limit")
    assert one.solve(solver, script(1, unsat=True), 5000).answer == "unsat"


def test_a_solver_that_ignores_its_limit_is_killed(
    one: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert one.solve("z3", script(1, unsat=True), 5000).answer == "unsat"
    monkeypatch.setattr(worker, "GRACE", 0.2)
    stopped = one.pid
    os.kill(stopped, signal.SIGSTOP)
    started = monotonic()
    assert one.solve("z3", script(1, unsat=True), 100) == worker.OUT_OF_TIME
    assert monotonic() - started < 5
    assert one.solve("z3", script(1, unsat=True), 5000).answer == "unsat"
    assert one.pid != stopped


def test_memory_limit() -> None:
    small = Worker("z3", 400)
    try:
        wide = "".join(f"(declare-const {x} (_ BitVec 20000))" for x in "abc")
        big = f"(set-logic QF_BV){wide}(assert (= (bvmul a b) (bvmul b c)))(assert (bvult a c))"
        outcome = small.solve("z3", big + "(check-sat)\n", 60_000)
        assert outcome.answer == "unknown"
        assert outcome.reason in ("memory limit", "worker died")
        assert small.solve("z3", script(1, unsat=True), 5000).answer == "unsat"
    finally:
        small.close()


def test_a_worker_that_died_is_replaced(one: Worker) -> None:
    for _ in range(3):
        os.kill(one.pid, signal.SIGKILL)
        assert one.solve("z3", script(1, unsat=True), 5000).answer == "unsat"


def test_a_script_that_kills_every_worker_costs_its_own_answer(one: Worker) -> None:
    done = Event()

    def kill() -> None:
        while not done.is_set():
            one._process.kill()
            sleep(0.05)

    thread = Thread(target=kill)
    thread.start()
    outcome = one.solve("z3", pigeons(12), 20_000)
    done.set()
    thread.join()
    assert outcome == worker.DIED
    assert one.solve("z3", script(1, unsat=True), 5000).answer == "unsat"


def test_what_nobody_waits_for_is_given_up() -> None:
    pool = Pool(1)
    try:
        hard = pool.submit("z3", pigeons(12), monotonic() + FOREVER)
        waiting = pool.submit("z3", pigeons(11), monotonic() + FOREVER)
        while not hard.running():
            sleep(0.01)
        sleep(0.5)
        started = monotonic()
        pool.drop([hard, waiting])
        assert hard.result(timeout=10).answer == "unknown"
        assert waiting.cancelled()
        easy = pool.submit("z3", script(1, unsat=True), monotonic() + FOREVER)
        assert easy.result(timeout=20).answer == "unsat"
        assert monotonic() - started < 15
    finally:
        pool.close()


def test_the_same_answer_whatever_was_asked_before(one: Worker) -> None:
    text = script(5, unsat=True)
    first = one.solve("z3", text, 5000, 100_000)
    for n in range(20):
        one.solve("z3", script(n, unsat=bool(n % 2)), 5000)
    assert one.solve("z3", text, 5000, 100_000) == first


def test_workers_end_with_the_program() -> None:
    program = (
        "from mapproof.proofs.worker import shared\n"
        "print(*(w.pid for w in shared().workers), flush=True)\n"
        "import os, sys, signal\n"
        "os.kill(os.getpid(), signal.SIGKILL) if sys.argv[1] == 'kill' else None\n"
    )
    for how in ("kill", "exit"):
        done = subprocess.run(
            [sys.executable, "-c", program, how], check=False, capture_output=True, text=True
        )
        pids = [int(p) for p in done.stdout.split()]
        assert len(pids) == 2
        deadline = monotonic() + 20
        while any(os.path.exists(f"/proc/{p}") for p in pids) and monotonic() < deadline:
            sleep(0.05)
        assert not [p for p in pids if os.path.exists(f"/proc/{p}")]


def test_workers_killed_at_random(tmp_path_factory: pytest.TempPathFactory) -> None:
    """500 obligations: every one ends, none is wrongly met, and a rerun finishes the rest."""
    folder = tmp_path_factory.mktemp("killed")
    scripts = [(n, bool(n % 3)) for n in range(500)]
    random, stop = Random(5), Event()
    pool = Pool(2)
    kept = Cache(folder)
    solvers = CachedPool(pool, kept, Mode.ON)
    deadline = monotonic() + FOREVER

    def answers() -> list[str]:
        futures = [
            solvers.submit("cvc5" if n % 2 else "z3", script(n, unsat=unsat), deadline)
            for n, unsat in scripts
        ]
        return [f.result(timeout=120).answer for f in futures]

    def kill() -> None:
        while not stop.wait(random.uniform(0.05, 0.3)):
            random.choice(pool.workers)._process.kill()

    thread = Thread(target=kill)
    thread.start()
    try:
        first = answers()
    finally:
        stop.set()
        thread.join()
    expected = ["unsat" if unsat else "sat" for _, unsat in scripts]
    assert len(first) == 500
    assert [(a, b) for a, b in zip(first, expected, strict=True) if a not in (b, "unknown")] == []
    definite = sum(a != "unknown" for a in first)
    assert definite > 250
    try:
        assert answers() == expected
        assert solvers.hits == definite
    finally:
        pool.close()
        kept.close()
