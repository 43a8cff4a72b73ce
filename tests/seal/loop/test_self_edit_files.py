"""Self-edits of a file: the first k of each context, and the row of what is wrong."""

from dataclasses import asdict, dataclass

import pytest

from seal.errors import UserError
from seal.loop.self_edit_files import first_self_edits
from seal.records import write_jsonl


@dataclass(frozen=True)
class SelfEdit:
    id: str
    story_id: str
    text: str
    repeat: int = 0


SOUND = {"id": "moth/1", "story_id": "moth", "text": "{}"}
WRITTEN = [SelfEdit(f"{s}/{n}", s, f"text {n}") for s in ("moth", "ferry") for n in (0, 1)]


def read(path, context_ids, k):
    return first_self_edits(path, SelfEdit, "story", context_ids, k, "--k")


def test_the_first_k_of_each_context_are_read_in_the_order_asked_for(tmp_path):
    path = tmp_path / "some.jsonl"
    write_jsonl(path, map(asdict, reversed(WRITTEN)))
    assert read(path, ["moth", "ferry"], 1) == [WRITTEN[1], WRITTEN[3]]
    assert read(path, ["ferry"], 2) == [WRITTEN[3], WRITTEN[2]]


@pytest.mark.parametrize(("story", "found"), [("moth", 2), ("bee", 0)])
def test_a_context_with_too_few_is_named(tmp_path, story, found):
    path = tmp_path / "some.jsonl"
    write_jsonl(path, map(asdict, WRITTEN))
    with pytest.raises(UserError, match=f"story {story} has {found} self-edits, 3 are .*--k"):
        read(path, [story], 3)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": "moth/1", "story_id": "moth"}, r'is not a self-edit: "text": field required'),
        (SOUND | {"kind": "x"}, "is not a self-edit: unknown key .kind"),
        (SOUND | {"text": {"training": {}}}, r'"text": input should be a valid string'),
        (SOUND | {"story_id": ["moth"]}, r'"story_id": input should be a valid string'),
        (SOUND | {"id": 1}, r'"id": input should be a valid string'),
        (SOUND | {"repeat": "0"}, r'"repeat": input should be a valid integer'),
        (SOUND | {"id": "moth/0"}, "id moth/0 occurs before"),
    ],
)
def test_a_row_that_is_not_a_self_edit_is_named(tmp_path, record, message):
    path = tmp_path / "some.jsonl"
    write_jsonl(path, [SOUND | {"id": "moth/0"}, record])
    with pytest.raises(UserError, match=rf"some\.jsonl row 2.*{message}"):
        read(path, ["moth"], 1)
    path.write_text(path.read_text().replace("\n", "\n\n"))
    with pytest.raises(UserError, match=rf"some\.jsonl row 3.*{message}"):  # as an editor counts
        read(path, ["moth"], 1)


@pytest.mark.parametrize(("first", "second"), [("moth/a/1", "moth/a--1"), ("moth--a", "moth/a")])
def test_ids_that_name_one_folder_are_refused(first, second, tmp_path):
    path = tmp_path / "some.jsonl"
    write_jsonl(path, [SOUND | {"id": first}, SOUND | {"id": second}])
    with pytest.raises(UserError, match=r"some\.jsonl row 2: id .* occurs before"):
        read(path, ["moth"], 1)
