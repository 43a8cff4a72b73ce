"""What the policy is asked: the shipped wording, prompt files of others, and their mistakes."""

import json

import pytest

from arc.method.configurations import Configuration, to_json
from arc.method.prompts import (
    check_prompts,
    prediction_messages,
    prediction_prompt,
    self_edit_prompt,
)
from arc.puzzles.augmenters import Augmentations
from arc.puzzles.rendering import demonstrations_text, examples_text
from arc.settings import PROMPTS, PredictionSettings, PromptSettings
from seal.errors import UserError
from tests.arc.policies import MOTH, chat_tokenizer

SHIPPED = PromptSettings()
QUERY = "[[0 1 2]\n [3 1 0]] -> "


@pytest.fixture
def prompts(tmp_path):
    """Settings with a folder of prompt files, some replaced."""

    def write(**files: str) -> PromptSettings:
        for name in ("self-edit", "predict"):
            text = files.get(name.replace("-", "_"), (PROMPTS / f"{name}.txt").read_text())
            (tmp_path / f"{name}.txt").write_text(text)
        return PromptSettings(prompts=tmp_path)

    return write


# Prediction


def test_demonstrations_stand_in_the_systems_message_and_the_query_in_the_users():
    system, user = prediction_messages(MOTH.demonstrations, MOTH.test_input, SHIPPED)
    assert (system["role"], user["role"]) == ("system", "user")
    instruction, block = system["content"].split("[[", 1)
    assert f"[[{block}" == demonstrations_text(MOTH.demonstrations)
    assert instruction.endswith("\n") and not instruction.endswith("\n\n")
    # The blank that the format ends with is part of it
    assert user["content"] == QUERY


def test_a_section_ends_with_its_last_line_feed_alone(prompts):
    settings = prompts(
        predict="[[system]]\n\n {demonstrations} \n\n[[prompt]]\nNow:\n{query}\n\n\n"
    )
    system, user = prediction_messages(MOTH.demonstrations, MOTH.test_input, settings)
    assert system["content"] == f"\n {demonstrations_text(MOTH.demonstrations)} \n"
    assert user["content"] == f"Now:\n{QUERY}\n\n"


def test_a_file_without_line_feed_at_its_end_loses_nothing(prompts):
    settings = prompts(predict="{demonstrations}{query}")
    (user,) = prediction_messages(MOTH.demonstrations, MOTH.test_input, settings)
    assert user == {
        "role": "user",
        "content": demonstrations_text(MOTH.demonstrations) + QUERY,
    }


@pytest.mark.parametrize("blank", ["", "\n", " \n\n"])
def test_a_blank_system_section_is_no_message(prompts, blank):
    settings = prompts(predict=f"[[system]]\n{blank}[[prompt]]\n{{demonstrations}}{{query}}\n")
    (message,) = prediction_messages(MOTH.demonstrations, MOTH.test_input, settings)
    assert message["role"] == "user"


def test_the_prompt_is_the_messages_as_the_template_writes_them():
    prompt = prediction_prompt(MOTH.demonstrations, MOTH.test_input, SHIPPED, chat_tokenizer())
    system, user = prediction_messages(MOTH.demonstrations, MOTH.test_input, SHIPPED)
    assert chat_tokenizer().decode(prompt) == (
        f"<|system|>{system['content']}<|end_of_turn|>"
        f"<|user|>{user['content']}<|end_of_turn|><|assistant|>"
    )


def test_without_demonstrations_the_query_stands_alone(prompts):
    settings = prompts(predict="[[system]]\nA:{demonstrations}\n[[prompt]]\n{query}\n")
    system, _ = prediction_messages([], MOTH.test_input, settings)
    assert system["content"] == "A:"


# Self-edits


def test_the_prompt_for_a_self_edit_shows_the_demonstrations_and_not_the_test():
    text = chat_tokenizer().decode(self_edit_prompt(MOTH, SHIPPED, chat_tokenizer()))
    assert examples_text(MOTH.demonstrations) in text
    assert text.count("Input:") == len(MOTH.demonstrations)
    for row in (*MOTH.test_input, *MOTH.target):
        assert " ".join(map(str, row)) not in text
    assert text.endswith("<|end_of_turn|><|assistant|>")


def asked_form() -> dict:
    """The object of the shipped prompt, each `...` in it null."""
    text = (PROMPTS / "self-edit.txt").read_text()
    return json.loads(text[text.rindex('{\n  "') :].replace("...", "null"))


def test_the_wording_names_all_that_a_self_edit_can_say():
    written = [
        json.loads(to_json(Configuration(Augmentations(*[switch] * 4), switch, 1e-4, 2)))
        for switch in (False, True)
    ]
    form = asked_form()
    for value in written:
        assert form.keys() == value.keys()
        assert all(form[section].keys() == value[section].keys() for section in value)
    wording = (PROMPTS / "self-edit.txt").read_text()
    before = wording[: wording.index("Answer with one JSON object")]
    for key in (key for section in form.values() for key in section):
        assert f"- {key}: " in before, key
    strategies = {value["training"]["strategy"] for value in written}
    assert len(strategies) == 2
    assert all(f'"{strategy}"' in before for strategy in strategies)


# Mistakes


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"predict": "{demonstrations}"}, r"predict\.txt: the prompt lacks \{query\}"),
        ({"predict": "{query}"}, r"predict\.txt: the prompt lacks \{demonstrations\}"),
        (
            {"predict": "{demonstrations}\n[[prompt]]\n{query}"},
            r"predict\.txt: text stands before \[\[prompt\]\]",
        ),
        (
            {"predict": "[[cue]]\n{demonstrations}\n[[prompt]]\n{query}"},
            r"predict\.txt: the prompt lacks \{demonstrations\}",
        ),
        ({"predict": "{demonstrations}{query}{examples}"}, r"nothing fills in \{examples\}"),
        ({"self_edit": "Which?"}, r"self-edit\.txt: the prompt lacks \{examples\}"),
        (
            {"self_edit": "[[system]]\n{examples}\n[[prompt]]\nWhich?"},
            r"self-edit\.txt: the prompt lacks \{examples\}",
        ),
        ({"self_edit": "{examples}{query}"}, r"self-edit\.txt: nothing fills in \{query\}"),
    ],
)
def test_mistakes_in_prompt_files_are_found_before_any_work(prompts, files, message):
    with pytest.raises(UserError, match=message) as raised:
        check_prompts(prompts(**files))
    assert "\n" not in str(raised.value)


def test_the_shipped_files_and_copies_of_them_are_sound(prompts):
    check_prompts(SHIPPED)
    check_prompts(PredictionSettings())
    check_prompts(prompts())


def test_a_folder_that_lacks_a_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"self-edit\.txt: no such file"):
        check_prompts(PromptSettings(prompts=tmp_path))


@pytest.mark.parametrize(
    "ask",
    [
        lambda tokenizer: self_edit_prompt(MOTH, SHIPPED, tokenizer),
        lambda tokenizer: prediction_prompt(MOTH.demonstrations, ((0,),), SHIPPED, tokenizer),
    ],
)
def test_a_base_model_is_refused_with_what_to_do(ask):
    class Base:
        chat_template = None
        name_or_path = "some/base"

    with pytest.raises(UserError, match=r"some/base has no chat template; .* an instruct model"):
        ask(Base())
