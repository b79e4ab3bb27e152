"""The command line: exit codes, messages, JSON, and children that die."""

import json
from pathlib import Path

import pytest

from mhsa.records.catalogue import catalogue

ONE = ("-k", "oracle.output_without_mask")


def test_the_reference_is_verified_without_a_subject(mhsa_anew, tmp_path: Path) -> None:
    done = mhsa_anew("verify", *ONE, "-v", "--json", tmp_path / "o.json")
    assert done.returncode == 0, done.stderr
    head, *_ = done.stdout.splitlines()
    for word in (
        "mhsa 0.1.0",
        "torch 2",
        "numpy",
        "hypothesis",
        "device cpu",
        "dtypes float64+float32",
        "profile quick",
        "seed 0",
    ):
        assert word in head
    assert "mhsa:MultiHeadAttention" in done.stdout
    assert "holds: 1 property on 24 cases" in done.stdout


def test_json_is_as_documented(mhsa, corpus: Path, tmp_path: Path) -> None:
    names = ["mhsa:MultiHeadAttention", str(corpus / "wrong" / "no_scale.py"), "nosuch:thing"]
    done = mhsa(
        "verify", *names, "-k", "output_without_mask or returned_weights", "--no-diagnosis", "--json", tmp_path / "o.json"
    )
    assert done.returncode == 2
    data = json.loads((tmp_path / "o.json").read_text())
    assert data["schema"] == 1
    assert data["exit_code"] == 2
    assert [s["subject"] for s in data["subjects"]] == names
    assert [s["verdict"] for s in data["subjects"]] == ["holds", "violated", "unjudged"]
    assert "ModuleNotFoundError" in data["subjects"][2]["reason"]
    keys = {"id", "family", "outcome", "cases", "worst_error_over_bound", "seconds", "reason", "counterexample"}
    for subject in data["subjects"]:
        for p in subject["properties"]:
            assert keys <= set(p)
            assert p["outcome"] in {"pass", "fail", "not-applicable", "expected-failure", "error"}
    failed, unasked = data["subjects"][1]["properties"]
    assert failed["outcome"] == "fail"
    assert failed["worst_error_over_bound"] > 1
    assert failed["counterexample"]["case"]["d_k"] == 2
    assert failed["counterexample"]["query"] is not None
    assert unasked["outcome"] == "not-applicable"
    assert "returns none" in unasked["reason"]


def test_torchs_nan_is_an_expected_failure(mhsa, tmp_path: Path) -> None:
    done = mhsa("verify", "torch.nn:MultiheadAttention", "-k", "one_fully_masked_row", "--json", tmp_path / "o.json")
    assert done.returncode == 0
    (p,) = json.loads((tmp_path / "o.json").read_text())["subjects"][0]["properties"]
    assert p["outcome"] == "expected-failure"
    assert "pytorch/issues/41508" in p["reason"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "nosuch:thing"], "unjudged: import of nosuch failed: ModuleNotFoundError: No module named 'nosuch'"),
        (["verify", "tests/corpus/broken/syntax_error.py"], "SyntaxError"),
        (["verify", "tests/corpus/broken/needs_more.py"], "needs 'vocabulary', and mhsa does not know what to give"),
        (["verify", "-k", "matchesnothing"], "no property matches -k 'matchesnothing'; `mhsa properties` lists them"),
        (["verify", "-k", "and and"], "expected"),
        (["verify", "--profile", "fast"], "mhsa verify: --profile: 'fast' is not one of quick, ci, thorough\n"),
        (["verify", "--dtype", "int8"], "'int8' is not one of float64, float32, bfloat16, float16"),
        (["verify", "--seed", "-3"], "'-3' is not a whole number of at least 0"),
        (["verify", "--device", "cuda:99"], "device 'cuda:99' cannot be used here"),
        (["verify", "--device", "gpu"], "device 'gpu' cannot be used here"),
        (["verify", "--json", "no/such/folder/o.json"], "there is no folder"),
        (["verify", "--sede", "3"], "mhsa verify: there is no option --sede; did you mean --seed?\n"),
        (["verify", "--no-diagnosys"], "did you mean --no-diagnosis?"),
        (["diagnose", "model.py", "--profile=ci", "--dvice", "cuda"], "did you mean --device?"),
        (["diagnose"], "mhsa diagnose: SUBJECT is missing; `mhsa diagnose --help` says what it is\n"),
        (["verfy"], "mhsa: there is no command 'verfy'; did you mean verify?\n"),
        (["properties", "mask_zero"], "no property has 'mask_zero' in its id"),
        ([], "usage: mhsa"),
    ],
)
def test_what_cannot_be_done_exits_2_with_one_clear_message(mhsa, arguments: list[str], words: str) -> None:
    done = mhsa(*arguments)
    assert done.returncode == 2
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_one_unjudged_subject_does_not_stop_the_others(mhsa, corpus: Path) -> None:
    done = mhsa("verify", "nosuch:thing", corpus / "right" / "plain_function.py", *ONE)
    assert done.returncode == 2
    assert "holds: 1 property" in done.stdout


def test_x_ends_each_subject_at_its_first_failure(mhsa, corpus: Path, tmp_path: Path) -> None:
    names = [corpus / "wrong" / "value_uses_key.py", corpus / "wrong" / "lucid_mask_skip_if_full_first.py"]
    done = mhsa("verify", *names, "-x", "--no-diagnosis", "--json", tmp_path / "o.json")
    assert done.returncode == 1
    first, second = json.loads((tmp_path / "o.json").read_text())["subjects"]
    assert [p["outcome"] for p in first["properties"]] == ["fail"]
    outcomes = [p["outcome"] for p in second["properties"]]
    assert outcomes.count("fail") == 1
    assert set(outcomes) <= {"fail", "pass", "not-applicable"}


def test_workers_find_the_same(mhsa, corpus: Path, tmp_path: Path) -> None:
    name = corpus / "wrong" / "scale_d_model.py"
    families = "test_oracle.py or test_heads.py or test_purity.py or test_dropout.py"  # of each outcome, fast and slow
    found = []
    for workers in (1, 2):
        done = mhsa("verify", name, "-n", workers, "-k", families, "--no-diagnosis", "--json", tmp_path / "o.json")
        assert done.returncode == 1
        data = json.loads((tmp_path / "o.json").read_text())["subjects"][0]
        found.append(([{**p, "seconds": 0} for p in data["properties"]], data["understood"]))
    assert found[0] == found[1]


def test_a_seed_gives_the_same_cases_and_another_seed_others(mhsa, tmp_path: Path) -> None:
    worst = []
    for seed in (3, 3, 4):
        mhsa("verify", "--seed", seed, *ONE, "--json", tmp_path / "o.json")
        worst.append(json.loads((tmp_path / "o.json").read_text())["subjects"][0]["properties"][0]["worst_error_over_bound"])
    assert worst[0] == worst[1] != worst[2]


def test_half_formats_hold_when_asked_for(mhsa) -> None:
    both = ("--dtype", "bfloat16", "--dtype", "float16")
    done = mhsa("verify", "mhsa:MultiHeadAttention", "torch.nn.functional:scaled_dot_product_attention", *both)
    assert done.returncode == 0, done.stdout
    assert "dtypes bfloat16+float16 " in done.stdout
    assert done.stdout.splitlines()[-3].split() == ["subject", "verdict", "fail", "of", "cases", "seconds"]
    assert [line.split()[1] for line in done.stdout.splitlines()[-2:]] == ["holds", "holds"]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("dies_by_signal.py", "the process was killed by SIGSEGV in a call"),
        ("exits_silently.py", "the process ended with exit code 0 in a call"),
    ],
)
def test_a_subject_that_kills_the_process_is_violated_and_the_rest_goes_on(mhsa, corpus: Path, file: str, words: str) -> None:
    done = mhsa(
        "verify",
        "-v",
        corpus / "broken" / file,
        "mhsa:MultiHeadAttention",
        "-k",
        "oracle.output or indivisible",
        "--no-diagnosis",
    )
    assert done.returncode == 1
    assert words in done.stdout
    assert "construction.indivisible_width_is_refused  pass" in done.stdout
    assert "holds: 3 properties" in done.stdout


@pytest.mark.parametrize(("file", "families"), [("dies_by_signal.py", {"oracle"}), ("exits_silently.py", {"oracle", "heads"})])
def test_a_subject_that_kills_workers_never_holds(mhsa, corpus: Path, tmp_path: Path, file: str, families: set[str]) -> None:
    keyword = " or ".join(f"test_{family}.py" for family in sorted(families))
    done = mhsa("verify", corpus / "broken" / file, "-n", 2, "-k", keyword, "--no-diagnosis", "--json", tmp_path / "o.json")
    assert done.returncode == 1
    (subject,) = json.loads((tmp_path / "o.json").read_text())["subjects"]
    assert [p["id"] for p in subject["properties"]] == [p.id for p in catalogue() if p.family in families]
    assert any(" in a call" in p["reason"] for p in subject["properties"])


def test_a_subject_that_kills_three_processes_is_given_up(mhsa, corpus: Path, tmp_path: Path) -> None:
    mortal = tmp_path / "mortal.py"
    mortal.write_text((corpus / "broken" / "exits_silently.py").read_text().replace("> 122", "> 124"))  # loading makes 119
    done = mhsa("verify", mortal, "mhsa:MultiHeadAttention", "-k", "test_oracle.py or each_sample or small_masks",
                "--no-diagnosis", "--json", tmp_path / "o.json")  # fmt: skip
    assert done.returncode == 1
    first, second = json.loads((tmp_path / "o.json").read_text())["subjects"]
    reasons = [p["reason"] for p in first["properties"]]
    assert sum(r.endswith("in a call") for r in reasons) == 3
    assert sum(r == "not run: this subject has ended 3 processes, or taken too long in them" for r in reasons) >= 1
    assert second["verdict"] == "holds"


def test_x_ends_a_subject_that_kills_the_process(mhsa, corpus: Path, tmp_path: Path) -> None:
    done = mhsa("verify", corpus / "broken" / "dies_by_signal.py", "-x", "--no-diagnosis", "--json", tmp_path / "o.json")
    assert done.returncode == 1
    (subject,) = json.loads((tmp_path / "o.json").read_text())["subjects"]
    outcomes = [p["outcome"] for p in subject["properties"]]
    assert outcomes.count("fail") == 1
    assert len(outcomes) < 10  # of more than a hundred


def test_a_subject_that_kills_the_process_at_import_is_unjudged(mhsa, corpus: Path) -> None:
    done = mhsa("verify", corpus / "broken" / "exits_at_import.py")
    assert done.returncode == 2
    assert "unjudged: the process ended with exit code 0 while subjects were loaded" in done.stdout


def test_failures_read_well(mhsa, corpus: Path) -> None:
    done = mhsa("verify", corpus / "wrong" / "scale_d_model.py", *ONE, "--no-diagnosis")
    for words in (
        "FAILED oracle.output_without_mask",
        "Without a mask the output is softmax(Q K^T / sqrt(d_k)) V, merged by W_O.",
        "but must be",
        "B=1 H=2 Tq=1 Tk=2 d_k=1 (d_model=2), float64, data integers, mask none",
        "mhsa verify",
        "violated: 1 of 1 properties fail",
    ):
        assert words in done.stdout


def test_properties_are_listed(mhsa) -> None:
    every = catalogue()
    done = mhsa("properties")
    assert done.returncode == 0
    assert all(p.id in done.stdout and p.summary in done.stdout for p in every)
    listed = json.loads(mhsa("properties", "--json").stdout)
    assert [p["id"] for p in listed] == [p.id for p in every]
    assert all(p["statement"] and p["family"] for p in listed)
    one = mhsa("properties", "masking_is_deleting").stdout
    assert "statement" in one
    assert "O(q, k, v, M) = O(q, k_S, v_S, none)" in one


@pytest.mark.parametrize("subject", ["model.py", "model:dot_product_attention"])
def test_a_folder_with_files_called_like_libraries_is_no_trap(mhsa_anew, corpus: Path, tmp_path: Path, subject: str) -> None:
    for name in ("random", "types", "numpy", "properties", "typing"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('wrong file imported')\n")
    (tmp_path / "model.py").write_text((corpus / "right" / "plain_function.py").read_text())
    done = mhsa_anew("verify", subject, *ONE, cwd=tmp_path, PYTHONSAFEPATH="1")
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_is_left_behind(mhsa_anew, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    mhsa_anew("verify", corpus / "right" / "plain_function.py", *ONE, cwd=tmp_path, TMPDIR=str(tmp_path / "temporary"))
    assert [p.name for p in tmp_path.rglob("*")] == ["temporary"]
