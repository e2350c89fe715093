"""Tables and grids become jobs, checked against the notebook before anything runs."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagen_nb.batch.jobs.jobs import Job, make_jobs
from imagen_nb.batch.jobs.notebook import Template, load_template
from imagen_nb.batch.results.executed import ExecutionOptions
from imagen_nb.batch.running.cluster import run_job_on_worker
from imagen_nb.batch.running.run import plan_batch, run_batch
from imagen_nb.cli import run
from imagen_nb.errors import UsageError
from imagen_nb.system.secret_text import is_secret_name
from tests.fixtures.evil import EVIL

PARAMETERS = """prompt: str = None  # what to draw
seed: int | None = None
steps = 4
strength: float = 0.5
tags: list[str] = []
loud = False
more: dict | None = None
anything = None
"""


@pytest.fixture
def made(written: Callable[..., Path]) -> Template:
    return load_template(written(PARAMETERS, "print(prompt)"))


def values(found: list[Job], *names: str) -> list[Any]:
    return [tuple(job.parameters.get(name) for name in names) for job in found]


def test_a_csv_file_is_read_in_the_types_of_the_notebook(made: Template, tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(
        "\ufeffprompt,seed,strength,tags,loud,more\n"
        '"a boat, red",7,1,"sea, sky",yes,"{""a"": 1}"\n'
        "007,,,,,\n"
        "\n"
        'x,9007199254740991,0.25,"[""a, b""]",false,\n'
    )
    found = make_jobs(path, made)
    assert values(found, "prompt", "strength", "tags", "loud", "more") == [
        ("a boat, red", 1.0, ["sea", "sky"], True, {"a": 1}),
        ("007", None, None, None, None),
        ("x", 0.25, ["a, b"], False, None),
    ]
    assert [found[0].parameters["seed"], found[2].parameters["seed"]] == [7, 2**53 - 1]


FORMS: dict[str, Callable[[Path, list[dict[str, Any]]], Any]] = {
    "jsonl": lambda path, rows: path.write_text("\n\n".join(map(json.dumps, rows))),
    "json": lambda path, rows: path.write_text(json.dumps(rows)),
    "yaml": lambda path, rows: path.write_text(json.dumps(rows)),
    "parquet": lambda path, rows: pd.DataFrame(rows).to_parquet(path),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_file_gives_the_same_jobs(form: str, made: Template, tmp_path: Path) -> None:
    rows = [{"prompt": "a", "seed": 1, "tags": ["x"]}, {"prompt": "b", "seed": 2, "tags": None}]
    path = tmp_path / f"jobs.{form}"
    FORMS[form](path, rows)
    assert make_jobs(path, made) == make_jobs(rows, made)
    assert values(make_jobs(path, made), "prompt", "seed", "tags") == [
        ("a", 1, ["x"]),
        ("b", 2, None),
    ]


def test_a_frame_with_gaps_keeps_whole_numbers_whole(made: Template) -> None:
    frame = pd.DataFrame(
        {"prompt": ["a", "b"], "steps": [4, None], "anything": [np.int64(3), pd.NA]}
    )
    assert values(make_jobs(frame, made), "steps", "anything") == [(4, 3), (None, None)]
    assert type(make_jobs(frame, made)[0].parameters["steps"]) is int


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    prompts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1),
        min_size=1,
    )
)
def test_any_prompt_survives_a_csv_file(prompts: list[str], made: Template, tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["prompt"], *([prompt] for prompt in prompts)])
    assert values(make_jobs(path, made), "prompt") == [(prompt,) for prompt in prompts]


@pytest.mark.parametrize("prompt", EVIL.values(), ids=EVIL)
def test_a_job_has_a_plain_file_name_whatever_its_prompt(prompt: str, made: Template) -> None:
    (job,) = make_jobs([{"prompt": prompt}], made)
    assert set(job.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len(job.name) < 60


def test_a_grid_is_every_combination_the_first_name_slowest(made: Template, tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text('prompts: ["{red|blue} boat"]\nseeds: 1..2\ntags: [a, b]\nsteps: 4\n')
    assert values(make_jobs(path, made), "prompt", "seed", "tags", "steps") == [
        (f"{colour} boat", seed, ["a", "b"], 4) for colour in ("red", "blue") for seed in (1, 2)
    ]


def test_a_grid_varies_sizes_and_lists_of_lists(written: Callable[..., Path]) -> None:
    made = load_template(written("width = 0\nheight = 0\ntags: list = []"))
    found = make_jobs({"sizes": ["64x32", "32x64"], "tags": [["a"], ["b", "c"]]}, made)
    assert values(found, "width", "height", "tags") == [
        (64, 32, ["a"]),
        (64, 32, ["b", "c"]),
        (32, 64, ["a"]),
        (32, 64, ["b", "c"]),
    ]


def test_braces_in_a_table_are_braces(made: Template) -> None:
    assert values(make_jobs([{"prompt": "{red|blue} boat"}], made), "prompt") == [
        ("{red|blue} boat",)
    ]


def test_all_that_is_wrong_is_one_message(made: Template) -> None:
    with pytest.raises(UsageError) as error:
        make_jobs(
            [{"promt": "a", "steps": "many"}, {"prompt": 3}, {"prompt": "a", "loud": 1}], made
        )
    assert str(error.value) == (
        "no job was run: the notebook has no parameter 'promt' (did you mean 'prompt'?); "
        "job 1: steps must be int, not 'many'; job 1: 'prompt' is missing; "
        "job 2: prompt must be str, not 3; job 3: loud must be bool, not 1"
    )


def test_many_problems_are_counted(made: Template) -> None:
    with pytest.raises(UsageError, match=r"job 20: 'prompt' is missing; and 30 more$"):
        make_jobs([{"seed": 1}] * 50, made)


@pytest.mark.parametrize(
    "name",
    ["api_key", "HF_TOKEN", "password", "dbPassword", "client_secret", "apikey", "supabaseKey"],
)
def test_a_secret_is_refused_with_the_reason(name: str, written: Callable[..., Path]) -> None:
    made = load_template(written(f"{name} = None"))
    with pytest.raises(
        UsageError, match="looks like a secret, which would stand in every executed"
    ):
        make_jobs([{name: "hunter2"}], made)
    with pytest.raises(UsageError) as error:
        make_jobs([{name: "hunter2"}], made)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("name", ["keyframe", "key", "tokens", "max_token_count", "password_file"])
def test_a_harmless_name_is_no_secret(name: str) -> None:
    assert not is_secret_name(name)


def test_a_value_that_looks_like_a_secret_is_refused_and_not_shown(made: Template) -> None:
    with pytest.raises(UsageError) as error:
        make_jobs([{"prompt": "sb_secret_abcdef123"}], made)
    assert "the value of 'prompt' looks like a secret" in str(error.value)
    assert "abcdef" not in str(error.value)


DEEP = "[" * 50_000 + "]" * 50_000
CRAFTED = {  # a file's suffix, and its text
    "deep lines": (".jsonl", '{"prompt": "a"}\n{"prompt": ' + DEEP + "}"),
    "deep objects in lines": (".jsonl", '{"a":' * 50_000),
    "deep JSON": (".json", '[{"prompt": ' + DEEP + "}]"),
    "deep torn JSON": (".json", '{"a":' * 50_000),
    "deep YAML": (".yaml", "- " * 20_000 + "a"),
    "deep JSON in a cell": (".csv", f'prompt,more,tags\na,"{DEEP}","{DEEP}"'),
    "a list that holds itself": (".yaml", "- prompt: &a [*a]"),
    "a grid that holds itself": (".yaml", "prompts: &a [*a]"),
    "a mapping that holds itself": (".yaml", "- prompt: a\n  more: &a {b: *a}"),
    "a date that cannot be": (".yaml", "- prompt: 2026-99-99"),
    "a number of 10000 digits": (".yaml", "- prompt: " + "9" * 10_000),
    "a number of 10000 digits in lines": (".jsonl", '{"seed": ' + "9" * 10_000 + "}"),
    "a number of base 60": (".yaml", "- seed: " + "9" * 5000 + ":59"),
    "bytes": (".yaml", "\x00\x01"),
    "an unhashable key": (".yaml", "- {[a]: b}"),
    "an unknown tag": (".yaml", "- prompt: !!python/object:os.system x"),
}


@pytest.mark.parametrize("kind", CRAFTED)
def test_a_crafted_table_is_one_line_that_names_it(
    kind: str, tmp_path: Path, written: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    suffix, text = CRAFTED[kind]
    path = tmp_path / f"jobs{suffix}"
    path.write_text(text, encoding="utf-8")
    notebook = str(written(PARAMETERS, "print(prompt)"))
    assert run(["batch", str(path), "--notebook", notebook, "-o", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert path.name in said or "line 2: " in said
    assert len(said) < 1000


def test_rows_in_python_that_hold_themselves_are_refused_too(made: Template) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UsageError, match="nested too deeply for jobs"):
        make_jobs([{"prompt": endless}], made)


def test_a_seed_that_is_not_given_follows_from_the_job(made: Template) -> None:
    one, two, again = make_jobs([{"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"}], made)
    seeds = [job.parameters["seed"] for job in (one, two, again)]
    assert len(set(seeds)) == 3
    assert seeds == [
        job.parameters["seed"]
        for job in make_jobs([{"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"}], made)
    ]
    (alone,) = make_jobs([{"prompt": "b"}], made)
    assert (alone.key, alone.name) == (two.key, two.name)  # wherever it stands in a table


def test_another_notebook_makes_other_jobs_and_outputs_do_not(written: Callable[..., Path]) -> None:
    rows = [{"prompt": "a"}]
    keys = [
        make_jobs(rows, load_template(written(PARAMETERS, cell)))[0].key for cell in ("1", "2", "1")
    ]
    assert keys[0] == keys[2] != keys[1]


def test_a_column_named_job_names_the_notebooks(made: Template) -> None:
    found = make_jobs([{"job": "first", "prompt": "a"}, {"prompt": "b"}], made)
    assert found[0].name == "first"
    assert found[1].name.startswith("b-")
    with pytest.raises(UsageError, match=r"2 jobs have the name 'same'"):
        make_jobs([{"job": "same", "prompt": "a"}, {"job": "Same", "prompt": "b"}], made)
    for name in ("../up", ".hidden", "a/b", "", "x" * 200):
        if name:
            with pytest.raises(UsageError, match="a job's name is letters"):
                make_jobs([{"job": name, "prompt": "a"}], made)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("jobs.txt", "x", "a jobs file ends in one of .csv"),
        ("jobs.csv", "", "has no header"),
        ("jobs.csv", "prompt,prompt\n", "has the column 'prompt' twice"),
        ("jobs.csv", "prompt\n", "the table has no rows"),
        ("jobs.csv", "prompt,seed\na,b,c\n", "line 2: 3 values for 2 columns"),
        ("jobs.jsonl", '{"prompt": "a"}\n{"prompt"\n', "line 2: no JSON"),
        ("jobs.jsonl", "[1]\n", "a job is a mapping of parameters"),
        ("jobs.yaml", "3", "neither a list of jobs nor a grid"),
        ("jobs.yaml", "a: [", "while parsing"),
        ("jobs.yaml", "prompts: []", "no values for 'prompts'"),
        ("jobs.yaml", "prompt: x\nseeds: 1..60000\nsteps: [1, 2]", "120,000 jobs, more than"),
        ("jobs.parquet", "no parquet", "Parquet"),
    ],
)
def test_a_file_that_is_no_table_is_said_in_one_line(
    name: str, text: str, said: str, made: Template, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as error:
        make_jobs(tmp_path / name, made)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_notebook_to_run_is_said_in_one_line(
    written: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.ipynb: No such file"):
        load_template(tmp_path / "nowhere.ipynb")
    (tmp_path / "torn.ipynb").write_text("{")
    with pytest.raises(UsageError, match=r"torn\.ipynb: no notebook"):
        load_template(tmp_path / "torn.ipynb")
    path = written("x = 1")
    path.write_text(path.read_text().replace('"parameters"', '"other"'))
    with pytest.raises(UsageError, match="no cell tagged `parameters`"):
        load_template(path)
    path.write_text(written("x = 1").read_text().replace('"python3"', '""'))
    with pytest.raises(UsageError, match="names no kernel"):
        load_template(path)


@pytest.mark.usefixtures("no_kernels")
def test_without_ipykernel_a_batch_says_what_to_install_and_runs_nothing(
    written: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "jobs.csv"
    table.write_text("x\n1\n2\n")
    command = ["batch", str(table), "--notebook", str(written("x = 1")), "-o", str(tmp_path / "o")]
    assert run(command) == 2
    says = "imagen: work.ipynb needs the kernel 'python3', which is not installed: "
    assert capsys.readouterr() == ("", f"{says}pip install ipykernel\n")
    assert list((tmp_path / "o").glob("**/*.ipynb")) == []


@pytest.mark.usefixtures("no_kernels")
def test_a_dry_run_says_that_the_kernel_is_missing(
    written: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "jobs.csv"
    table.write_text("x\n1\n")
    command = ["batch", str(table), "--notebook", str(written("x = 1")), "--dry-run"]
    assert run(command) == 2
    assert "'python3', which is not installed: pip install ipykernel" in capsys.readouterr().err


@pytest.mark.usefixtures("no_kernels")
def test_a_dry_run_for_a_cluster_needs_no_kernel_on_this_machine(
    written: Callable[..., Path], tmp_path: Path
) -> None:
    plan = plan_batch([{"x": 1}], written("x = 1"), tmp_path / "runs", dask="tcp://127.0.0.1:9")
    assert plan.summary == "1 job, 1 to run"


@pytest.mark.usefixtures("no_kernels")
def test_a_worker_of_a_cluster_without_it_says_so_too(written: Callable[..., Path]) -> None:
    read = load_template(written("x = 1"))
    with pytest.raises(UsageError, match="'python3', which is not installed: pip install ipyk"):
        run_job_on_worker(
            asdict(make_jobs({"x": [1]}, read)[0]), ExecutionOptions(read).to_json(), {}
        )


def test_another_kernel_that_is_not_there_is_said_before_anything_runs(
    written: Callable[..., Path], tmp_path: Path
) -> None:
    path = written("x = 1")
    path.write_text(path.read_text().replace('"python3"', '"nothing-there"'))
    with pytest.raises(UsageError, match="'nothing-there', which is not installed: `jupyter kern"):
        run_batch([{"x": 1}], path, tmp_path / "runs")


@pytest.mark.parametrize(
    ("line", "kinds", "required"),
    [
        ("x = 1", {"int"}, False),
        ("x = 'a=b'", {"str"}, False),
        ("x = (1, 2)", {"list"}, False),
        ("x = None", set(), False),
        ("x = ...", set(), True),
        ("x: int", {"int"}, True),
        ("x: 'int | float' = 1", {"int", "float"}, False),
        ("x: Optional[str] = None", {"str"}, False),
        ("x: typing.Union[int, None] = None", {"int"}, False),
        ("x: dict[str, int] = {}", {"dict"}, False),
        ("x: Path = None", set(), False),
        ("x = []  # type: list[int]", {"list"}, False),
        ("x = 2 ** 3", set(), False),
        ("x = None  # type: int|None what it's for", {"int"}, False),
        ("x = None  # type: a/b", set(), False),
        ("x = None  # type:", set(), False),
        ("x: 'no type' = 1", set(), False),
    ],
)
def test_a_parameter_is_what_its_line_says(
    line: str, kinds: set[str], required: bool, written: Callable[..., Path]
) -> None:
    (parameter,) = load_template(written(line)).parameters
    assert (parameter.name, set(parameter.types), parameter.required) == ("x", kinds, required)


def test_a_cell_with_magics_is_read_as_papermill_reads_it(written: Callable[..., Path]) -> None:
    found = load_template(written("%matplotlib inline\nprompt = 'a'")).parameters
    assert [parameter.name for parameter in found] == ["prompt"]
