"""Prompt files: what is read from them, every way in which one can be wrong, and chat templates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.errors import UserError
from seal.prompt_files import Prompt, chat_ids, fill, load_prompt
from tests.support.small_models import small_tokenizer

A = frozenset({"a"})
CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}</{{ message.role }}>"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
MESSAGES = [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "\nHi. "}]


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


def test_a_file_without_sections_is_all_prompt(prompt_file):
    path = prompt_file(" Read {a}. \n\n")
    assert load_prompt(path, A) == Prompt(path, " Read {a}. \n\n")


def test_sections_are_kept_to_the_last_character(prompt_file):
    path = prompt_file("\n[[cue]]\nList of {a}:\n[[system]]\nBe {a}.\n[[prompt]] \nRead {a}.\n\n")
    assert load_prompt(path, A) == Prompt(path, "Read {a}.\n\n", "Be {a}.\n", "List of {a}:\n")


def test_placeholders_may_be_required_in_other_sections(prompt_file):
    path = prompt_file("[[system]]\nBe {a}.\n[[prompt]]\nRead {b}.\n")
    both = frozenset({"a", "b"})
    assert load_prompt(path, both, ("system", "prompt")).system == "Be {a}.\n"
    assert load_prompt(path, both, ("prompt", "system", "cue")).prompt == "Read {b}.\n"
    for sections, missing in [(("prompt",), "a"), (("system",), "b"), (("prompt", "cue"), "a")]:
        with pytest.raises(UserError, match=rf"the prompt lacks \{{{missing}\}}"):
            load_prompt(path, both, sections)


@given(st.text(), st.text())
def test_values_are_never_read_as_placeholders(first, second):
    assert fill("{a}|{b}|{a}", {"a": first, "b": second}) == f"{first}|{second}|{first}"


def test_braces_without_a_name_stay():
    assert fill('{} { a } {"a": 1} {{a}}', {"a": "x"}) == '{} { a } {"a": 1} {x}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Read {b}.", r"nothing fills in \{b\}; only \{a\}"),
        ("[[prompt]]\n{a}\n[[cue]]\n{b}", r"nothing fills in \{b\}"),
        ("[[prompt]]\n{a}\n[[system]]\n{b}", r"nothing fills in \{b\}"),
        ("Read it.", r"the prompt lacks \{a\}"),
        ("[[prompt]]\nRead it.\n[[cue]]\n{a}", r"the prompt lacks \{a\}"),
        ("", r"the prompt lacks \{a\}"),
        ("[[prompt]]\n{a}\n[[user]]\n", r"no section is called \[\[user\]\]"),
        ("[[prompt]]\n{a}\n[[prompt]]", r"\[\[prompt\]\] occurs twice"),
        ("[[cue]]\n{a}", r"\[\[prompt\]\] is missing"),
        ("Hello\n[[prompt]]\n{a}", r"text stands before \[\[prompt\]\]"),
    ],
)
def test_malformed_files_are_refused(prompt_file, text, message):
    with pytest.raises(UserError, match=rf"kind\.txt: .*{message}"):
        load_prompt(prompt_file(text), A)


def test_messages_are_rendered_as_they_are(tokenizer):
    ids = chat_ids(MESSAGES, tokenizer, "here")
    assert all(type(token) is int for token in ids)
    shown = "<system> Be brief.\n</system><user>\nHi. </user>"
    assert tokenizer.decode(ids) == f"{shown}<assistant>"
    without = chat_ids(MESSAGES, tokenizer, "here", add_generation_prompt=False)
    assert tokenizer.decode(without) == shown


def test_special_tokens_of_the_template_are_not_doubled(tokenizer):
    tokenizer.chat_template = tokenizer.eos_token + CHAT_TEMPLATE
    ids = chat_ids(MESSAGES, tokenizer, "here")
    assert ids[0] == tokenizer.eos_token_id
    assert ids.count(tokenizer.eos_token_id) == 1


def test_a_template_is_told_a_day_so_that_it_does_not_ask_the_clock(tokenizer):
    # As Llama 3.2's template begins
    tokenizer.chat_template = (
        "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}"
        "{% endif %}Today Date: {{ date_string }}"
    )
    assert tokenizer.decode(chat_ids(MESSAGES, tokenizer, "here")) == "Today Date: 26 Jul 2024"


def test_arguments_reach_the_template(tokenizer):
    tokenizer.chat_template = "{{ enable_thinking }} {{ other is defined }}"
    ids = chat_ids(MESSAGES, tokenizer, "here", enable_thinking=False)
    assert tokenizer.decode(ids) == "False False"


def test_a_model_without_chat_template_is_refused(tokenizer):
    tokenizer.chat_template = None
    with pytest.raises(UserError, match=r"no chat template; choose an instruct model$"):
        chat_ids(MESSAGES, tokenizer, "here")
    with pytest.raises(UserError, match=r"no chat template; pay$"):
        chat_ids(MESSAGES, tokenizer, "here", fix="pay")


def test_a_template_that_refuses_the_messages_is_explained(tokenizer):
    tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(UserError, match=r"here: .*no system role.*remove \[\[system\]\]"):
        chat_ids(MESSAGES, tokenizer, "here")
