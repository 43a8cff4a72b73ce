"""What is noted of a start names its code, and holds no key."""

from seal import environment
from seal.environment import describe_start

KEY = "local-0123456789abcdef"


def git(difference: str):
    return lambda root, *arguments: difference if arguments[0] == "diff" else "c0ffee\n"


def test_changed_code_is_named_by_its_content(monkeypatch):
    monkeypatch.setattr(environment, "_git", git("+a line"))
    first, difference = describe_start()
    assert (first["commit"], difference) == ("c0ffee", "+a line")
    monkeypatch.setattr(environment, "_git", git("+another"))
    assert describe_start()[0]["difference"] != first["difference"]
    monkeypatch.setattr(environment, "_git", git(""))
    assert describe_start()[0]["difference"] is None


def test_keys_that_someone_has_put_into_the_code_are_left_out(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    pasted = f"+key = {KEY}\n+other = sk-proj-0123456789\n+skip = 1\n"
    monkeypatch.setattr(environment, "_git", git(pasted))
    assert describe_start()[1] == "+key = ***\n+other = ***\n+skip = 1\n"


def test_a_word_in_place_of_a_key_may_stand_in_the_code(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    monkeypatch.setattr(environment, "_git", git("+EMPTY = 1\n"))
    assert describe_start()[1] == "+EMPTY = 1\n"
