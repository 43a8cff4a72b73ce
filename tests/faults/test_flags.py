"""Every flag refuses what it cannot mean, at parsing, in one line that names it."""

import dataclasses
import math
import typing
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal

import pytest
import yaml

from seal.command_line.arguments import Settings, arg, parse_arguments
from seal.command_line.flag_values import DEVICE, GPU_INDICES, LARGEST_SEED, URL, demand, labelled
from seal.command_line.program import run_program
from seal.errors import UserError
from tests.faults.cases import EVERYTHING, chosen, line_of
from tests.programs.programs import load_program, program_paths
from tests.support.data import REPOSITORY

NO_NUMBERS = [math.nan, math.inf, -math.inf, 1e300, -1e300, 1e13, 10**18, 10**400, -(10**18)]
NO_TEXTS = ["", " ", "\n", "a\0b", "\udcff", "\ud800", "\x1b[31m", "a\x7f", "a\rb", "\x85", "\x01"]


def plain(kind: Any) -> Any:
    """The type of a value, or of a list's values."""
    kind = typing.get_args(kind)[0] if NoneType in typing.get_args(kind) else kind
    return typing.get_args(kind)[0] if typing.get_origin(kind) is list else kind


def wish(field: Any, value: Any) -> str | None:
    return demand(value, field.metadata["limits"], field.metadata["form"])


def default_of(field: Any) -> Any:
    made = field.default_factory is not dataclasses.MISSING
    return field.default_factory() if made else field.default


def bad_values(field: Any, kind: Any) -> list[Any]:
    """What no flag of this type and range can mean."""
    limits, kind = field.metadata["limits"], plain(kind)
    if kind in (int, float):
        step = 1 if kind is int else 1e-3
        beyond = [
            *([] if limits["at_least"] is None else [limits["at_least"] - step]),
            *([] if limits["above"] is None else [limits["above"], limits["above"] - step]),
            *([] if limits["at_most"] is None else [limits["at_most"] + step]),
            *([] if limits["below"] is None else [limits["below"], limits["below"] + step]),
        ]
        no_numbers = [n for n in NO_NUMBERS if isinstance(n, int) == (kind is int)]
        return [*beyond, *no_numbers, *([1e-300, -1e-13] if kind is float else [])]
    of_form = ["x y", "ä" * 5000, "None "] if field.metadata["form"] else []
    paths = ["a\nb", "a\tb"] if kind is Path else []
    texts = [*NO_TEXTS, *of_form, *paths]
    return [kind(text) for text in texts if kind is str or text] if kind in (str, Path) else []


@cache
def flags() -> list[tuple[str, Any, Any]]:
    """Program, field and type of every flag; those of benchmarks, which load slowly, if all."""
    return [
        (str(path), field, typing.get_type_hints(config)[field.name])
        for path in program_paths()
        if EVERYTHING or path.parts[0] != "benchmarks"
        for config in [load_program(str(path.parent), path.stem).Config]
        for field in dataclasses.fields(config)
    ]


def test_every_flag_of_every_program_has_its_range():
    cases = [(at, field, bad) for at, field, kind in flags() for bad in bad_values(field, kind)]
    assert [(at, field.name, bad) for at, field, bad in cases if not wish(field, bad)] == []
    # In a list, each is looked at
    assert all(wish(field, [default_of(field), bad]) for _, field, bad in cases)
    assert len(cases) > 3500


def test_defaults_are_within_their_ranges():
    for path, field, _ in flags():
        default = default_of(field)
        assert default is dataclasses.MISSING or wish(field, default) is None, (path, field.name)


def test_seeds_are_what_numpy_takes():
    seeds = [field for _, field, _ in flags() if field.name == "seed"]
    assert all(wish(field, LARGEST_SEED) is None for field in seeds)
    assert all(wish(field, LARGEST_SEED + 1) and wish(field, -1) for field in seeds)


# Command lines


class Small(Settings):
    """One flag of each kind."""

    run_dir: Path = arg("where", Path("x"))
    k: int = arg("count", 1, at_least=1)
    rate: float = arg("rate", 0.5, above=0, at_most=1)
    share: float | None = arg("share", None, at_least=0, below=1)
    name: str | None = arg("name", None)
    kind: Literal["a", "b"] = arg("which", "a")
    fast: bool = arg("speed", True)
    layers: list[str] = arg("layers", ["q"], unique=True)
    slots: list[int] = arg("slots", [1], at_least=1)
    url: str | None = arg("where it answers", None, form=URL)
    device: str = arg("device", "auto", form=DEVICE)
    gpus: str = arg("GPUs", "0", form=GPU_INDICES)


NUMBERS = [
    *("nan", "inf", "-inf", "-nan", "infinity", "-Infinity", "1e400", "-1e400", "1e-400", "1e300"),
    *("1e-300", "0", "-1", "-0.5", "2.5", "1" * 5000, "9" * 30, "0x10", "1,5", "1.5.2", "1e", "e5"),
    *("- 1", "+-1", "one", "True", "None", "[1]", "{}", "()", "1 2", "1;2", "½", "二", "--", "---"),
    *("", " ", "\t", "\n", "\udcff", "1\0", "\x1b[1m", "'1'", '"1"', "@1", "1/2", "1%", "=", "-"),
]
URLS = [
    *("x", "ftp://h/v1", "http://", "http:///v1", "//h/v1", "h:80", "http:h", "file:///etc/passwd"),
    *(
        "http://u:p@h/v1",
        "http://u@h",
        "http://h?k=v",
        "http://h#f",
        "http://h:0/",
        "http://h:99999",
    ),
    *(
        "http://h:x/",
        "http://[::1",
        "http://[::::]/v1",
        "http://[zz]/",
        "http://a..b/",
        "http://.h",
    ),
    *("http://" + "a" * 64 + "/", "http://h /v1", "http://h/v 1", "http://h\n/v1", "HTTP//h", "1"),
    *(
        "javascript:alert(1)",
        "http://h\\v1",
        "http://ä..b/",
        "http://h/\udcff",
        " http://h/",
        "",
        " ",
    ),
]
DEVICES = [
    "mps",
    "xpu",
    "meta",
    "cuda:",
    "cuda:-1",
    "cuda:x",
    "cuda:9999",
    "CPU",
    "gpu",
    "0",
    "cuda 0",
]
INDICES = [
    "-1",
    "0,",
    ",0",
    "0;1",
    "a",
    "0 1",
    "0,,1",
    "1.0",
    "0x1",
    "all",
    "9999",
    "0,-1",
    "cuda:0",
]
PATHS = ["", " ", "\udcff", "a\0b", "a\nb", "a\tb", "\x1b[31m", "\x7f", "a\x01b", "\x85"]
WORDS = ["", " ", "\udcff", "a\0b", "\x1b[31m", "\x7f", "a\x01b", "\x85", "\ud800x", "\r"]
OF_FLAG = {
    "k": NUMBERS,
    "rate": NUMBERS,
    "share": [word for word in NUMBERS if word not in ("0", "1e-400", "None")],
    "slots": NUMBERS,
    "kind": ["c", "A", "a ", "ab", "", " ", "0", "None", "a,b", "\udcff", "é", "True"],
    "fast": ["True", "False", "1", "x", "", " ", "yes"],
    "url": URLS,
    "device": [*DEVICES, *WORDS],
    "gpus": [*INDICES, *WORDS],
    "run_dir": PATHS,
    "name": WORDS,
    "layers": WORDS,
}
COMMANDS = [
    (flag, words)
    for flag, values in OF_FLAG.items()
    for value in values
    for words in ([f"--{flag}", value], [f"--{flag}={value}"], ["--k", "1", f"--{flag}", value])
    if not (flag == "fast" and "=" in words[0])
] + [
    ("layers", ["--layers", "q", "q"]),
    ("layers", ["--layers"]),
    ("layers", ["--layers", "q", ""]),
    ("slots", ["--slots", "1", "0"]),
    ("slots", ["--slots", "1", "x"]),
    *((flag, [f"--{flag}"]) for flag in OF_FLAG if flag != "fast"),
    *((flag, [f"--{flag[:-1]}x"]) for flag in OF_FLAG),
    *((flag, [f"-{flag}"]) for flag in OF_FLAG),
    *((flag, [f"--no_{flag}"]) for flag in OF_FLAG if flag != "fast"),
]


@pytest.mark.parametrize("part", range(4))
def test_what_a_command_line_cannot_mean_is_one_line(part, capsys):
    silent = []
    for flag, words in chosen(COMMANDS, 4)[part::4]:
        with pytest.raises(SystemExit) as ended:
            run_program(lambda config: None, Small, words)
        shown = capsys.readouterr()
        one_line = shown.err.startswith("error: ") and shown.err.count("\n") == 1
        named = any(word.split("=")[0] in shown.err for word in words if word.startswith("-"))
        named = named or words[-1].strip() in shown.err  # what belongs to no flag
        if ended.value.code != 2 or not one_line or not named or shown.out:
            silent.append((flag, words, ended.value.code, shown.err[-300:]))
    assert silent == []


def test_a_password_is_not_shown(capsys):
    for words in (
        ["--url", "http://u:secret@h/v1"],
        ["--url=http://u:secret@h/v1"],
        ["--url", "http://h", "http://u:secret@h/v1"],
        ["--device", "http://u:secret@h"],
        ["--urll=http://u:secret@h/v1"],
    ):
        with pytest.raises(SystemExit):
            run_program(lambda config: None, Small, words)
        assert "secret" not in capsys.readouterr().err


LEGAL = [
    *(["--k", word] for word in ("1", "+5", "1000000", " 7 ", "0007")),
    *(["--rate", word] for word in ("1", "1e-12", ".5", "1.", "5E-1")),
    *(["--share", word] for word in ("0", "0.0", "-0.0", "0.999", "None")),
    *(
        ["--url", f"http{word}"]
        for word in ("://h", "s://a.b-c.de/v1/", "://[::1]:80/v1", "://é.fr")
    ),
    *(["--url", word] for word in ("http://127.0.0.1:65535", "http://a_b:8000/x/~y/%20")),
    *(["--device", word] for word in ("auto", "cpu", "cuda", "cuda:0", "cuda:15")),
    *(["--gpus", word] for word in ("0", "0,1", "3,2,1", "10")),
    *(
        ["--name", word]
        for word in ("None", "a b", "é", "-1", "-inf", "nan", "a\nb", "a\tb", "日本")
    ),
    *(["--run_dir", word] for word in ("a b", "é", "/tmp/x", "..", "-", "-1", "a=b", "'")),
    *(["--layers", *words] for words in (["q"], ["q", "Q"], ["a b"])),
    *(["--slots", *words] for words in (["1"], ["2", "2"], ["5", "1"])),
    ["--no_fast", "--fast"],
]


@pytest.mark.parametrize("words", LEGAL, ids=" ".join)
def test_what_is_odd_and_legal_stays_so(words):
    parse_arguments(Small, words)


# Files of settings


COUNTS = [
    *("-1", ".nan", ".inf", "1.5", "1e400", "true", "null", "[1]", "{a: b}", "x", "''", "1:2:3"),
    *("0o17", "0x1F", "010", "1_0", "9" * 30, "9" * 5000, "2001-99-99", "!!int ''", "&a [*a]"),
]
RATES = [
    *("-1", ".nan", ".inf", "-.inf", "1e400", "1.0e+400", "1e-300", "true", "[1]", "x", "''"),
    *("null", "!!float x", "{a: b}", "2001-01-01"),
]
TEXTS = [
    *(
        "3",
        "true",
        "null",
        "[a]",
        "''",
        "' '",
        '"a\\0b"',
        '"\\e[31m"',
        '"\\x7f"',
        "1.5",
        "!!set {a}",
    ),
    *("&a [*a]", '"\\ud800"', "2001-01-01"),
]
OF_SETTING = {
    **dict.fromkeys(["k", "epochs", "seed", "max_length"], COUNTS),
    **dict.fromkeys(["learning_rate", "warmup_ratio", "lora_alpha"], RATES),
    **dict.fromkeys(["model", "passages", "judge_model", "vllm_gpus", "device"], TEXTS),
    "target_modules": ["a", "3", "[]", "[q, q]", "[q, '']", "[q, 3]", "null", "{a: b}", '["\\0"]'],
    "judge_url": ["3", "x", "http://u:p@h/", "http://h?k", "[a]", "ftp://h"],
    "chat": ["1", "'true'", "null", "x", "[true]"],
}
SETTINGS = [f"{name}: {value}" for name, values in OF_SETTING.items() for value in values] + [
    *("k: 1\nk: 2", "k: 1\n'k': 2", "kk: 1", "1: 2", "null: 1", "? [a]\n: b", "? {a: b}\n: c"),
    *(
        "",
        "k",
        "3",
        "[k]",
        "- k",
        "k:1",
        "---\n---\nk: 1",
        "\t",
        "%YAML 9",
        "<<: *x",
        "*a",
        "<<: 3",
    ),
    *("[" * 3000, "k: " + "[" * 3000, "\0", "\7", "k: [", "k: !!timestamp x", "k: !!bool x"),
    *("k: *a", "@", "!x k: 1", "!!python/name:os.system ''", "# only a comment", "k: !!float ''"),
    "k: !!python/object/apply:os.system [id]",
]
LAUGHS = "\n".join(f"{a}: &{a} [{', '.join([f'*{b}' if b else 'x'] * 9)}]" for a, b in zip(
    ("k", "model", "epochs", "seed", "target_modules", "passages", "prompts", "dtype", "device"),
    ("", "k", "model", "epochs", "seed", "target_modules", "passages", "prompts", "dtype"),
    strict=True,
))  # fmt: skip


@pytest.mark.parametrize("part", range(4))
def test_what_a_file_of_settings_cannot_mean_is_one_line(part, tmp_path):
    accepted = []
    config = load_program("general-knowledge", "run_cpt").Config
    file = tmp_path / "settings.yaml"
    for text in chosen([LAUGHS, "#" * 1_000_001, *SETTINGS], 4)[part::4]:
        file.write_text(text)
        try:
            about = [] if text.startswith("passages") else ["--passages", "p"]
            parse_arguments(config, ["--run_dir", "x", *about, "--config", str(file)])
            accepted.append(text[:80])
        except UserError as error:
            assert line_of(error).startswith(str(file)), error
    assert accepted == []


def test_presets_and_the_settings_of_runs_are_read():
    for path in REPOSITORY.glob("*/presets/*.yaml"):
        assert yaml.safe_load(path.read_text())
        config = load_program(path.parts[-3], "rest_em").Config
        about = ["--passages", "p"] if path.parts[-3] == "general-knowledge" else ["--tasks", "p"]
        parse_arguments(config, ["--run_dir", "x", *about, "--config", str(path)])


# Labels of rows


LABELS = [
    *("", ".", "..", ".a", "-a", "a/b", "/", "a b", " a", "a\0", "\udcff", "a\n", "é/", "~", "$x"),
    *("lock", "LOCK", "adapter", "adapters", "final", "Final", "sft", "validation", "SHA256SUMS"),
    *("sha256sums", "x" * 101, "é" * 51, "a:b", "a\\b", "*", "con?", "a,b", "'", '"', "`", "#"),
    "%",
    *(f"{name}{end}" for name in ("results", "x", "log") for end in (
        *(".json", ".jsonl", ".md", ".txt", ".log", ".png", ".diff", ".tmp", ".JSON", ".Txt"),
    )),
]  # fmt: skip


@pytest.mark.parametrize("flag", ["--policies", "--self_edit_files"])
def test_labels_that_cannot_name_a_row(flag):
    for label in LABELS:
        with pytest.raises(UserError, match=flag):
            labelled(flag, [f"{label}=model"])
    for words in (
        ["a=x", "A=y"],
        ["é=x", "É=y"],
        ["IN-context=x"],
        ["a=x", "a=x"],
        ["a="],
        ["a= "],
    ):
        with pytest.raises(UserError, match=flag):
            labelled(flag, words, taken=["in-context"])
