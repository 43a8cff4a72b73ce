"""Finding the files of the authors' release, or of a part of it, in a folder of any layout."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from knowledge.data.passages import Passage
from knowledge.release.parse import DEFECTS, parse_released, why
from knowledge.release.records import Dataset, Examinations, Released
from seal.errors import UserError
from seal.records import read_json, read_jsonl

Kind = TypeVar("Kind", bound=Released)

_READERS = {".json": read_json, ".jsonl": read_jsonl}


@dataclass(frozen=True)
class Release:
    """What was found; paths are relative to `folder`."""

    folder: Path
    files: tuple[Released, ...]
    problems: Mapping[Path, str]
    """Files that could not be read, with the reason; they are left out."""

    def of(self, kind: type[Kind]) -> list[Kind]:
        """The files of one kind, those of the newer version first, else by path."""
        return [file for file in self.files if isinstance(file, kind)]

    def passage_lists(self) -> list[Sequence[Passage]]:
        """The different lists of passages, in the order of their files."""
        files = [*self.of(Dataset), *self.of(Examinations)]
        lists: dict[tuple[str, ...], Sequence[Passage]] = {}
        for passages in (file.passages for file in files):
            lists.setdefault(tuple(passage.id for passage in passages), passages)
        return list(lists.values())


def read_release(folder: Path) -> Release:
    """Read every file below `folder` that is of the release's knowledge domain.

    Other files are passed over. Raises UserError if `folder` is not a folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name a clone of the authors' release or a part")
    files: list[Released] = []
    problems: dict[Path, str] = {}
    for path in _candidates(folder):
        relative = path.relative_to(folder)
        try:
            released = parse_released(relative, folder, _READERS[path.suffix](path))
        except DEFECTS as error:
            problems[relative] = why(error).replace(f"{folder}/", "")
        else:
            files += [released] if released else []
    return Release(folder, tuple(sorted(files, key=_newer_first)), problems)


def _candidates(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix in _READERS and not hidden and path.is_file():
            yield path


def _newer_first(file: Released) -> tuple[bool, str]:
    return bool({"v1", "old"} & {part.lower() for part in file.path.parts}), str(file.path)
