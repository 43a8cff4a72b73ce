"""Judges: what they are asked, what they say, and that what is ungraded is never wrong."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

from knowledge.judging.answer_features import FEATURES
from knowledge.judging.judges import (
    CONSTANTS,
    Grade,
    GradingItem,
    OfflineJudge,
    OpenAIJudge,
    ensure_graded,
    judge_messages,
    open_judge,
)
from knowledge.settings import JudgeSettings
from seal.chat.client import OPENAI_URL, ChatClient
from seal.errors import UserError
from seal.records import read_json
from tests.support.chat_stub import completion, refusal, running_stub
from tests.support.data import REPOSITORY

KEY = "sk-very-secret"
ITEM = GradingItem("When does the moth fly?", "in May", "It flies in May.", "Moth")


@pytest.fixture
def stub():
    with running_stub() as running:
        yield running


@pytest.fixture
def no_key(monkeypatch, tmp_path):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("seal.endpoints.REPOSITORY", tmp_path)
    monkeypatch.chdir(tmp_path)


def settings(stub, tmp_path, **others) -> JudgeSettings:
    return JudgeSettings(
        judge="openai",
        judge_model="judge",
        judge_url=stub.url,
        judge_cache=tmp_path / "cache.jsonl",
        **others,
    )


# The offline judge


@pytest.mark.parametrize(
    ("question", "gold", "answer", "verdict"),
    [
        ("When does the moth fly?", "in May", "May", True),
        ("When does the moth fly?", "in May", "The moth flies in May.", True),
        ("When does the moth fly?", "in May", "The moth flies in June.", False),
        ("How many boats?", "two", "There are 2 boats.", True),
        ("How many boats?", "two", "There are three boats.", False),
        ("How much?", "$5 million", "$5,000,000", True),
        ("When?", "1934", "1935", False),
        ("Who keeps it?", "Anna Berg", "Otto Kranz keeps it.", False),
        ("Who keeps it?", "Anna Berg", "idk", False),
        ("What is on the flag?", "$", "$", True),
        ("Who sang?", "The Who", "the who", True),
    ],
)
def test_plain_cases(question, gold, answer, verdict):
    (grade,) = OfflineJudge().grade([GradingItem(question, gold, answer)])
    assert grade.verdict is verdict is (grade.probability >= 0.5)


@pytest.mark.parametrize("blank", ["", " ", "\n\t\u00a0"])
def test_blank_answers_are_wrong_without_asking(stub, blank):
    items = [replace(ITEM, answer=blank)]
    for judge in (OfflineJudge(), OpenAIJudge(ChatClient("judge", stub.url))):
        assert judge.grade(items) == [Grade(verdict=False, probability=0.0)]
        assert judge.grade([]) == []
    assert stub.bodies == []


def test_surrounding_space_and_the_title_make_no_difference_offline():
    judge = OfflineJudge()
    plain, spaced = judge.grade([ITEM, replace(ITEM, answer="\n It flies in May. ", title="")])
    assert plain == spaced


def test_the_probability_is_logistic_in_the_features(tmp_path):
    weights = dict.fromkeys(FEATURES, 0.0) | {"recall_squared": 2.0}
    path = tmp_path / "constants.json"
    path.write_text(json.dumps({"intercept": -1.0, "weights": weights}))
    items = [GradingItem("Which?", "slow boats", answer) for answer in ("slow boats", "slow")]
    log_odds = [
        math.log(g.probability / (1 - g.probability)) for g in OfflineJudge(path).grade(items)
    ]
    assert log_odds == pytest.approx([1.0, -0.5])


def test_constants_of_other_features_are_refused(tmp_path):
    path = tmp_path / "constants.json"
    path.write_text(json.dumps({"intercept": 0.0, "weights": {"recall": 1.0}}))
    with pytest.raises(UserError, match=r"constants\.json was fitted to other features"):
        OfflineJudge(path)


def test_it_has_fewer_than_thirty_constants_and_loads_nothing_heavy():
    assert len(read_json(CONSTANTS)["weights"]) + 1 < 30
    code = (
        "import sys; from knowledge.judging.judges import OfflineJudge, GradingItem;"
        "OfflineJudge().grade([GradingItem('q', 'g', 'a')]);"
        "heavy = {'torch', 'transformers', 'openai', 'httpx2', 'numpy', 'scipy', 'sklearn'};"
        "print(heavy & set(sys.modules))"
    )
    folder = REPOSITORY / "general-knowledge"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "set()\n"


# The chat judge


def test_the_model_is_asked_with_topic_question_gold_and_answer():
    (message,) = judge_messages(replace(ITEM, answer=" {gold} \n"))
    assert message["role"] == "user"
    assert "Topic: Moth\nWhen does the moth fly?" in message["content"]
    assert "in May" in message["content"] and " {gold}\n" in message["content"]
    assert "Topic" not in judge_messages(replace(ITEM, title=""))[0]["content"]


@pytest.mark.parametrize(
    ("response", "grade"),
    [
        (completion("Yes"), Grade(True, 1.0)),
        (completion("**no**"), Grade(False, 0.0)),
        (completion("yes and no"), Grade(None, None)),
        (completion("The answer is right."), Grade(None, None)),
        (completion(None, "content_filter"), Grade(None, None)),
        (refusal(400, "filtered"), Grade(None, None)),
    ],
)
def test_verdicts(stub, response, grade):
    stub.reply = lambda prompt: response
    (given,) = OpenAIJudge(ChatClient("judge", stub.url)).grade([ITEM])
    assert given == grade
    assert (given.reason is None) == (grade.verdict is not None)


def test_grades_keep_the_order_around_blanks_and_failures(stub):
    def reply(prompt):
        return refusal(400) if "lost" in prompt else completion("yes" if "May." in prompt else "no")

    stub.reply = reply
    answers = ["It flies in May.", "", "lost", "June", " ", "in May."]
    judge = OpenAIJudge(ChatClient("judge", stub.url))
    grades = judge.grade([replace(ITEM, answer=answer) for answer in answers])
    assert [grade.verdict for grade in grades] == [True, False, None, False, False, True]


def test_open_judge_checks_then_asks_greedily_and_keeps_verdicts_only(stub, tmp_path, no_key):
    judge = open_judge(settings(stub, tmp_path))
    assert judge.name == f"judge at {stub.url}"
    assert len(stub.bodies) == 1, "the check"
    stub.script = [completion("perhaps")]
    assert [judge.grade([ITEM])[0].verdict for _ in range(3)] == [None, True, True]
    assert len(stub.bodies) == 3
    assert all((body["temperature"], body["model"]) == (0.0, "judge") for body in stub.bodies)
    # Another process finds the verdict on the disk
    assert open_judge(settings(stub, tmp_path)).grade([ITEM]) == [Grade(True, 1.0)]
    assert len(stub.bodies) == 4


def test_open_judge_sends_the_key_and_tells_nobody(stub, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    judge = open_judge(settings(stub, tmp_path))
    judge.grade([ITEM])
    assert stub.keys == [f"Bearer {KEY}"] * 2
    stub.reply = lambda prompt: refusal(401, f"Incorrect API key provided: {KEY}")
    with pytest.raises(UserError, match="refuses the key") as raised:
        open_judge(settings(stub, tmp_path))
    shown = capfd.readouterr()
    told = (
        f"{raised.value}{judge.name}{shown.out}{shown.err}{(tmp_path / 'cache.jsonl').read_text()}"
    )
    assert KEY not in told


def test_open_judge_without_a_key(no_key, tmp_path):
    with pytest.raises(UserError, match=r"OPENAI_API_KEY in \.env, or use --judge offline"):
        open_judge(JudgeSettings(judge="openai"))
    assert open_judge(JudgeSettings()).name == "offline"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["http://user:PASSWORD@host", "http://[::1", "", f"http://host/{KEY}/v1", "ftp://host"]
)
def test_a_url_that_cannot_be_used_is_refused_before_anything(no_key, monkeypatch, tmp_path, url):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(UserError, match=r"^--judge_url: a ") as raised:
        open_judge(JudgeSettings(judge="openai", judge_url=url))
    assert "PASS" not in str(raised.value) and KEY not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_openais_own_model_is_named_without_its_url():
    assert OpenAIJudge(ChatClient("gpt-4.1-2025-04-14", OPENAI_URL)).name == "gpt-4.1-2025-04-14"


# Too many failures

YES, LOST = Grade(True, 1.0), Grade(None, None, "status 500")


@pytest.mark.parametrize(
    ("grades", "max_share", "fine"),
    [
        ([], 0.0, True),
        ([YES], 0.0, True),
        ([YES, LOST], 0.5, True),
        ([YES, LOST], 0.49, False),
        ([LOST], 0.99, False),
        ([LOST], 1.0, True),
    ],
)
def test_ensure_graded(grades, max_share, fine):
    if fine:
        ensure_graded(grades, max_share)
    else:
        with pytest.raises(UserError, match=r"1 of \d .*mostly: status 500.*again.*max_ungraded"):
            ensure_graded(grades, max_share)
