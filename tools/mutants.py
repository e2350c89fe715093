"""Mutation testing: is each small change of what keeps pictures and sends them noticed?

    python tools/mutants.py                         all modules and the SQL; exit code 1 below 90 %
    python tools/mutants.py --module storage/tags   this one; may be given several times
    python tools/mutants.py --survivors             only show what no test noticed, as diffs
    python tools/mutants.py --fresh                 forget what earlier runs found

The changes are cosmic-ray's, and one of ours: a call whose result is not used is left out. Each is
made in a copy of the tree, and the module's own tests are run on it. What was found is kept in
build/mutants, in cosmic-ray's format, as long as the module stays as it is; an interrupted run goes
on, and survivors are tried again. Changes that no test can notice are listed in
mutants_equivalent.toml with the reason.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from cosmic_ray import plugins
from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_code, use_mutation
from cosmic_ray.operators.operator import Operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import (
    MutationSpec,
    TestOutcome,
    WorkerOutcome,
    WorkItem,
    WorkResult,
)
from forked_tests import OPTIONS, move_into_copy, run_tests, usual_seconds
from parso.python.tree import Keyword

ROOT = Path(__file__).resolve().parents[1]
FOUND = ROOT / "build" / "mutants"
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.toml")
GOAL_PERCENT = 90
SIDE_BY_SIDE = 2

MODULES = {  # the tests, as arguments of pytest: few and fast, none needs a server
    "system/leases": ("tests/system/test_leases.py",),
    "system/atomic": ("tests/system/test_atomic.py",),
    "storage/outbox": (
        "tests/storage/test_outbox.py",
        "tests/storage/test_trash.py",
        "-k",
        "not Interrupted and not two_processes",
    ),
    "storage/tags": (
        "tests/storage/test_tags.py",
        "-k",
        "TestChanges or TestInTheCatalog or sidecar_that_cannot or later_change",
    ),
    "storage/output": (
        "tests/storage/test_output.py",
        "tests/storage/test_credentials.py",
        "tests/storage/test_trash.py",
        "-k",
        "not processes and not crash and not may_not_grow and not slug and not tears"
        " and not Interrupted",
    ),
    "cloud/tags": ("tests/cloud/test_tags.py::TestRequests",),
    "cloud/sync": (
        "tests/cloud/test_sync.py",
        "tests/cloud/test_delete.py::TestRequests::"
        "test_deleted_while_it_is_sent_it_leaves_the_cloud_again",
    ),
}
SQL_TESTS = "tests/cloud/test_sql_mutants.py"


class LeaveOutCall(Operator):
    """Replaces a call whose result is not used by `pass`."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        is_statement = node.parent and node.parent.type == "simple_stmt"
        if is_statement and node.type in ("atom_expr", "power"):
            last = node.children[-1]
            if last.type == "trailer" and last.children[0] == "(":
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        prefix = node.get_first_leaf().prefix
        return Keyword("pass", node.start_pos, prefix)

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


plugins.OPERATOR_PROVIDERS["imagen"] = {LeaveOutCall.__name__: LeaveOutCall}


# What is tried


def source_of(module: str) -> Path:
    return Path("imagen_nb", f"{module}.py")


def session_file(module: str) -> Path:
    digest = hashlib.sha256((ROOT / source_of(module)).read_bytes()).hexdigest()[:12]
    return FOUND / f"{module.replace('/', '-')}-{digest}.sqlite"


def begin(module: str) -> None:
    """Make a session of the changes of a module; those that change nothing are skipped."""
    unfinished = session_file(module).with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    source = (ROOT / source_of(module)).read_text(encoding="utf-8")
    tried = {meaning_of(source)}
    os.chdir(ROOT)
    with use_db(unfinished) as session:
        init([source_of(module)], session, {})
        for item in sorted(session.work_items, key=position_of):
            mutated = mutate_code(source, *mutation_of(item.mutations[0]))
            meaning = mutated and meaning_of(mutated)
            if not meaning or meaning in tried:
                why = "no program, annotations alone, or the same as another"
                session.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED, why))
            else:
                tried.add(meaning)
    unfinished.rename(session_file(module))


def position_of(item: WorkItem) -> tuple[Any, str, int]:
    one = item.mutations[0]
    return one.start_pos, one.operator_name, one.occurrence


def mutation_of(spec: MutationSpec) -> tuple[Operator, int]:
    operator = plugins.get_operator(spec.operator_name)
    return operator(**spec.operator_args), spec.occurrence


def meaning_of(source: str) -> str | None:
    """Return what is the same for programs that differ in annotations only; None for no program."""
    try:
        tree = ast.parse(source)
        with warnings.catch_warnings(action="ignore"):  # of `is` with a literal
            compile(tree, "mutant", "exec")
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def changed_lines(before: str, after: str) -> tuple[str, str]:
    """Return the lines taken out and those put in, without white space."""
    diff = [*difflib.ndiff(before.splitlines(), after.splitlines())]
    taken_out, put_in = (
        "".join(without_space(line[2:]) for line in diff if line.startswith(sign))
        for sign in "-+"
    )
    return taken_out, put_in


def without_space(text: str) -> str:
    return "".join(text.split())


def equivalents(module: str) -> dict[tuple[str, str], str]:
    """Return the reasons, by the lines before and after the change."""
    listed = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]
    return {
        (without_space(one["before"]), without_space(after)): one["reason"]
        for one in listed
        for after in one["after"]
        if one["module"] == module
    }


# How it is tried


def try_change(module: str, item: WorkItem) -> WorkResult:
    """Make the change, run the tests, undo it."""
    tests, spec = MODULES[module], item.mutations[0]
    limit_s = 10 + 4 * usual_seconds(tests)
    with use_mutation(spec.module_path, *mutation_of(spec)) as (before, after):
        passed, output = run_tests(tests, limit_s)
    diff = difflib.unified_diff(
        before.splitlines(),
        after.splitlines(),
        str(spec.module_path),
        "",
        lineterm="",
        n=2,
    )
    outcome = TestOutcome.SURVIVED if passed else TestOutcome.KILLED
    return WorkResult(WorkerOutcome.NORMAL, output, outcome, "\n".join(diff))


def try_all(modules: Sequence[str], fresh: bool) -> None:
    FOUND.mkdir(parents=True, exist_ok=True)
    memory = Path("/dev/shm")  # where nothing waits for a disk  # nosec B108
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
        ProcessPoolExecutor(
            SIDE_BY_SIDE,
            multiprocessing.get_context("spawn"),
            move_into_copy,
            (ROOT, Path(folder)),
        ) as pool,
    ):
        for module in modules:
            if fresh or not session_file(module).exists():
                begin(module)
            with use_db(session_file(module)) as session:
                try:
                    try_module(module, session, pool)
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise


def try_module(module: str, session: WorkDB, pool: ProcessPoolExecutor) -> None:
    """Try what is pending, and what survived or was listed as equivalent when it was tried."""
    source = (ROOT / source_of(module)).read_text(encoding="utf-8")
    reasons = equivalents(module)
    again = [item for item, result in session.completed_work_items if is_open(result)]
    jobs, unused = {}, set(reasons)
    for item in sorted([*session.pending_work_items, *again], key=position_of):
        mutated = mutate_code(source, *mutation_of(item.mutations[0]))
        change = changed_lines(source, mutated)
        if change in reasons:
            unused.discard(change)
            session.set_result(
                item.job_id, WorkResult(WorkerOutcome.NO_TEST, reasons[change])
            )
        else:
            jobs[pool.submit(try_change, module, item)] = item.job_id
    for before, after in unused:
        tell(f"{EQUIVALENT.name}: {module} has no such survivor: {before} {after}\n")
    for number, job in enumerate(as_completed(jobs), 1):
        session.set_result(jobs[job], job.result())
        tell(f"{module}: {number} of {len(jobs)} \r")


def tell(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def is_open(result: WorkResult) -> bool:
    return survived(result) or is_equivalent(result)


def survived(result: WorkResult) -> bool:
    return bool(result.test_outcome == TestOutcome.SURVIVED)


def is_equivalent(result: WorkResult) -> bool:
    return result.worker_outcome == WorkerOutcome.NO_TEST


def show_survivors(modules: Sequence[str]) -> None:
    for module in modules:
        with use_db(session_file(module)) as session:
            tried = sorted(
                session.completed_work_items, key=lambda one: position_of(one[0])
            )
        for diff in (result.diff for _, result in tried if survived(result)):
            print(diff, end="\n\n")


def count(module: str) -> Counter[str]:
    with use_db(session_file(module)) as session:
        results = [result for _, result in session.completed_work_items]
    named = Counter(str(one.test_outcome.value) for one in results if one.test_outcome)
    named["equivalent"] = sum(map(is_equivalent, results))
    return named


def count_sql() -> Counter[str]:
    """Run the tests that change policies and grants; each says what went unnoticed."""
    command = [sys.executable, "-m", "pytest", *OPTIONS, "-s", SQL_TESTS]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = Counter[str]()
    for tried, unnoticed in re.findall(
        r"(\d+) changes of rights, (\d+) unnoticed", done.stdout
    ):
        found["survived"] += int(unnoticed)
        found["killed"] += int(tried) - int(unnoticed)
    if not found["killed"] or (done.returncode and not found["survived"]):
        raise SystemExit(f"{SQL_TESTS} did not run:\n{done.stdout}{done.stderr}")
    return found


def report(counts: dict[str, Counter[str]]) -> bool:
    """Print the table; return whether every row reaches the goal."""
    rows = counts | {"total": sum(counts.values(), Counter[str]())}
    print(
        f"{'module':16}{'mutants':>9}{'equivalent':>12}{'killed':>8}{'survived':>10}{'%':>8}"
    )
    reached = True
    for name, found in rows.items():
        tried = found["killed"] + found["survived"]
        percent = 100 * found["killed"] / tried if tried else 0
        reached = reached and percent >= GOAL_PERCENT
        figures = f"{found['equivalent']:12}{found['killed']:8}{found['survived']:10}{percent:8.1f}"
        print(f"{name:16}{tried + found['equivalent']:9}{figures}")
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--module", action="append", choices=[*MODULES, "sql"])
    parser.add_argument("--survivors", action="store_true", help="only show them")
    parser.add_argument("--fresh", action="store_true", help="forget earlier runs")
    given = parser.parse_args()
    chosen = given.module or [*MODULES, "sql"]
    modules = [module for module in chosen if module != "sql"]
    if given.survivors:
        show_survivors(modules)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that copies are removed
    try_all(modules, given.fresh)
    counts = {module: count(module) for module in modules}
    if "sql" in chosen:
        counts["sql"] = count_sql()
    return 0 if report(counts) else 1


if __name__ == "__main__":
    sys.exit(main())
