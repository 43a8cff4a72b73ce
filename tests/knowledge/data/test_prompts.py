"""The shipped prompts and a user's own, for base models and for chat models."""

import re
import string
from pathlib import Path

import pytest

from knowledge import settings
from knowledge.data.passages import Passage
from knowledge.data.prompts import SELF_EDIT_KINDS, answer_prompt, render_prompt, self_edit_prompt
from knowledge.experiments.entigraph import ENTITIES, RELATIONS
from knowledge.method.training_texts import training_texts
from knowledge.settings import PROMPTS, AnswerSettings, PromptSettings, SelfEditSettings
from seal.errors import UserError
from seal.records import read_json
from tests.support.data import shared_data
from tests.support.small_models import small_tokenizer

PASSAGE = Passage("id", "Set {theory} 50%", "A {title} has {passage}, \\1 and {}.\nIt ends.", ())
CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}</{{ message.role }}>"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def tokenizer():
    tokenizer = small_tokenizer(["a town on a river"])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


@pytest.fixture
def prompt_file(tmp_path):
    """Write a prompt file and return its path."""

    def write(text):
        path = tmp_path / "kind.txt"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def asked(kind: str, **others) -> SelfEditSettings:
    return SelfEditSettings(prompt_kind=kind, **others)


def test_the_seven_kinds_have_a_file_each():
    assert len(SELF_EDIT_KINDS) == 7
    assert SELF_EDIT_KINDS[0] == "implications"
    others = {
        "answer",
        "answer-chain-of-thought",
        "judge",
        "proxy-rubric",
        ENTITIES,
        *RELATIONS.values(),
    }
    assert {path.stem for path in PROMPTS.glob("*.txt")} == others | set(SELF_EDIT_KINDS)


@pytest.mark.parametrize("kind", SELF_EDIT_KINDS)
def test_shipped_self_edit_prompts(kind, tokenizer):
    base = self_edit_prompt(PASSAGE, asked(kind))
    assert f"{PASSAGE.title}\n" in base
    assert PASSAGE.context in base
    assert base.endswith("\n"), "a completion begins a line"
    assert "[[" not in base
    chat = tokenizer.decode(self_edit_prompt(PASSAGE, asked(kind, chat=True), tokenizer))
    assert PASSAGE.context in chat
    assert chat.endswith("</user><assistant>")


def test_no_prompt_is_the_passage_alone(tokenizer):
    text = f"{PASSAGE.title}\n{PASSAGE.context}"
    assert self_edit_prompt(PASSAGE, asked("none")) == f"{text}\n"
    chat = tokenizer.decode(self_edit_prompt(PASSAGE, asked("none", chat=True), tokenizer))
    assert chat == f"<user>{text}</user><assistant>"


def test_kinds_differ():
    prompts = {self_edit_prompt(PASSAGE, asked(kind)) for kind in SELF_EDIT_KINDS}
    assert len(prompts) == len(SELF_EDIT_KINDS)


def test_layouts_that_prompts_show_are_those_that_training_texts_understands():
    """What the files ask for is what rules 1-3 of G1 cut: run the shown layout through them."""
    shown = self_edit_prompt(PASSAGE, asked("self-qa"))
    layout = shown[shown.index("Question 1:") : shown.rindex("\n\n")]
    assert len(training_texts("T", "C", layout, add_context=False)) == 2
    rewrites = self_edit_prompt(PASSAGE, asked("rewrite"))
    assert "\n---\n" in rewrites
    thoughts = self_edit_prompt(PASSAGE, asked("implications-chain-of-thought"))
    assert re.search(r"^Implications:$", thoughts, re.MULTILINE)


@pytest.mark.parametrize("style", ["plain", "chain-of-thought"])
def test_shipped_answer_prompts(style, tokenizer):
    base = answer_prompt("Doctor {Who}", "Who is {title}?", AnswerSettings(answer_style=style))
    assert "Topic: Doctor {Who}\nQuestion: Who is {title}?\n" in base
    assert base.endswith("\n")
    chat = tokenizer.decode(
        answer_prompt("T", "Q?", AnswerSettings(answer_style=style, chat=True), tokenizer)
    )
    assert chat.startswith("<system>")
    assert "Topic: T\nQuestion: Q?</user><assistant>" in chat


def test_reasoning_before_an_answer_ends_in_the_line_that_is_parsed():
    assert '"Final answer:"' in answer_prompt(
        "T", "Q?", AnswerSettings(answer_style="chain-of-thought")
    )
    assert "Final answer" not in answer_prompt("T", "Q?", AnswerSettings())


def test_wording_is_not_the_releases():
    release = "seal-release/general-knowledge/data/synthetic_data/train/iter0_train.json"
    entry = read_json(shared_data(release))[0]
    passage = Passage("id", entry["title"], entry["context"], ())
    theirs = word_runs(entry["prompt"].replace(entry["context"], ""))
    for kind in SELF_EDIT_KINDS:
        assert not theirs & word_runs(
            self_edit_prompt(passage, asked(kind)).replace(passage.context, "")
        )


def word_runs(text: str, length: int = 5) -> set[tuple[str, ...]]:
    """Every run of `length` words."""
    words = text.lower().translate(str.maketrans("", "", string.punctuation)).split()
    return set(zip(*(words[start:] for start in range(length)), strict=False))


def test_another_folder_is_used(tmp_path):
    (tmp_path / "implications.txt").write_text("{passage} ({title})", encoding="utf-8")
    (tmp_path / "answer.txt").write_text("{title}: {question}", encoding="utf-8")
    assert self_edit_prompt(PASSAGE, SelfEditSettings(prompts=tmp_path)).endswith(
        f" ({PASSAGE.title})"
    )
    assert answer_prompt("T", "Q?", AnswerSettings(prompts=tmp_path)) == "T: Q?"
    with pytest.raises(UserError, match=r"rewrite\.txt: no such file"):
        self_edit_prompt(PASSAGE, asked("rewrite", prompts=tmp_path))


def test_a_plain_file_is_used_to_the_last_character(prompt_file, tokenizer):
    path = prompt_file(" Read {a}. \n\n")
    assert render_prompt(path, {"a": "x"}) == " Read x. \n\n"
    assert tokenizer.decode(render_prompt(path, {"a": "x"}, tokenizer)) == (
        "<user>Read x.</user><assistant>"
    )


def test_sections(prompt_file, tokenizer):
    path = prompt_file("[[cue]]\nList of {a}:\n[[system]]\nBe {a}.\n[[prompt]] \nRead {a}.\n\n")
    assert render_prompt(path, {"a": "x"}) == "Read x.\n\nList of x:\n"
    assert tokenizer.decode(render_prompt(path, {"a": "x"}, tokenizer)) == (
        "<system>Be x.</system><user>Read x.</user><assistant>"
    )


def test_a_model_without_chat_template_is_refused(tokenizer):
    tokenizer.chat_template = None
    with pytest.raises(UserError, match="no chat template; leave out --chat"):
        self_edit_prompt(PASSAGE, SelfEditSettings(chat=True), tokenizer)


def test_a_template_that_refuses_system_messages_is_explained(tokenizer):
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}ok"
    )
    with pytest.raises(UserError, match=r"answer\.txt: .*no system role.*remove \[\[system\]\]"):
        answer_prompt("T", "Q?", AnswerSettings(chat=True), tokenizer)


def test_the_folder_of_prompts_is_a_path_or_the_name_of_one_that_ships(tmp_path, monkeypatch):
    shipped = tmp_path / "prompts"
    (shipped / "release").mkdir(parents=True)
    monkeypatch.setattr(settings, "PROMPTS", shipped)
    monkeypatch.chdir(tmp_path)
    assert PromptSettings().prompt_folder == shipped
    assert PromptSettings(prompts=Path("release")).prompt_folder == shipped / "release"
    assert PromptSettings(prompts=Path("elsewhere")).prompt_folder == Path("elsewhere")
    Path("release").mkdir()
    assert PromptSettings(prompts=Path("release")).prompt_folder == Path("release")
