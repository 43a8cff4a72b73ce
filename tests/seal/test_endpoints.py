"""A URL is checked before it is used or written anywhere; a key is found, and never shown."""

import os
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from seal import endpoints
from seal.endpoints import check_url, is_local, redact
from seal.endpoints import find_api_key as find
from seal.errors import UserError

KEY = "sk-proj-Very+Secret/0123456789=="


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "http://localhost/",
        "http://localhost:8000/v1",
        "https://api.openai.com/v1/",
        "HTTP://Host/v1",
        "http://127.0.0.1:8000/v1",
        "http://[::1]:8000/v1",
        "http://127.1/v1",
        "http://bücher.example/v1",
        "http://my_server.cluster.local./v1",
        "https://host/openai/deployments/gpt-4.1/",
        "https://host/accounts/@me/v1",
        "https://host/a%20b/v1",
    ],
)
def test_usable_urls_pass(url):
    check_url(url, "--judge_url")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host",
        "host/v1",
        "host:8000/v1",
        "localhost:8000",
        "/v1",
        "//host/v1",
        "ftp://host",
        "file:///etc/passwd",
        "ws://host",
        "http://",
        "http:///v1",
        "http:host/v1",
        "https//host",
        "http://[::1",
        "http://::1]/v1",
        "http://[::g]/v1",
        "http://1.2.3.999/v1",
        "http://a..b/v1",
        "http://.host/v1",
        f"http://{'a' * 64}.com/v1",
        "http://ho st/v1",
        " http://host/v1",
        "http://host/v1 ",
        "http://host/v1\n",
        "http://host\t/v1",
        "http://host\0/v1",
        "http://host/\x1b[31m",
        "http://host/\ud800",
        "http://host/\u200b",
        "http://h%6fst/v1",
        "http://h<>/v1",
        "http://host:port/v1",
        "http://host:99999/v1",
        "http://host:0/v1",
        "http://host:-1/v1",
        f"http://host/{'a' * 70_000}",
        "http://user:PASSWORD@host",
        "http://PASSWORD@host/v1",
        "http://:PASSWORD@host/v1",
        "https://user:PASS%57ORD@[::1]:8/v1",
        "http://user:PASSWORD@",
        "http://user:PASSWORD@host@other",
        "http://user:PASSWORD/x@host",
        "http://user:PASS WORD@host",
        "ftp://user:PASSWORD@host",
        "http://host\\@PASSWORD/v1",
        "http://host/v1?api_key=PASSWORD",
        "http://host/v1?",
        "http://host/v1#PASSWORD",
    ],
)
def test_other_urls_are_refused_in_one_line_without_quoting_them(url):
    with pytest.raises(UserError) as raised:
        check_url(url, "--judge_url")
    message = str(raised.value)
    assert message.startswith("--judge_url: a URL") or message.startswith("--judge_url: a malform")
    assert "\n" not in message and message.isprintable() and "PASS" not in message


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LocalHost.", True),
        ("judge.localhost", True),
        ("127.0.0.1", True),
        ("127.9.8.7", True),
        ("127.1", True),
        ("2130706433", True),
        ("0x7f000001", True),
        ("0.0.0.0", True),
        ("::1", True),
        ("0:0:0:0:0:0:0:1", True),
        ("::", True),
        ("::ffff:127.0.0.1", True),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("fe80::1", False),
        ("localhost.example.com", False),
        ("notlocalhost", False),
        ("api.openai.com", False),
    ],
)
def test_which_hosts_are_this_machine(host, local):
    assert is_local(host) is local


# Keys


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with folders below it, of which the lowest is the current one."""
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    monkeypatch.setattr(endpoints, "REPOSITORY", tmp_path / "repository")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path


def test_the_key_is_found_in_the_environment_or_in_a_file_above(folder, monkeypatch):
    assert find() is None
    (folder / ".env").write_text("OPENAI_API_KEY= \n")
    assert find() is None
    (folder / ".env").write_text("OPENAI_API_KEY=sk-file\n")
    assert find() == "sk-file"
    monkeypatch.setenv("OPENAI_API_KEY", " sk-environment\n")
    assert find() == "sk-environment"
    monkeypatch.setenv("OPENAI_API_KEY", " ")
    assert find() == "sk-file"


def test_the_key_is_found_in_the_repository_from_elsewhere(folder):
    (folder / "repository").mkdir()
    (folder / "repository" / ".env").write_text("OPENAI_API_KEY=sk-repository\n")
    assert find() == "sk-repository"
    (folder / "a" / ".env").write_text("OTHER=1\n")
    assert find() == "sk-repository"
    (folder / "a" / ".env").write_text("OPENAI_API_KEY=sk-near\n")
    assert find() == "sk-near"


def test_the_key_is_found_from_a_folder_that_is_gone(folder):
    (folder / "repository").mkdir()
    (folder / "repository" / ".env").write_text("OPENAI_API_KEY=sk-repository\n")
    (folder / "a" / "b").rmdir()
    assert find() == "sk-repository"


@pytest.mark.parametrize(
    "text",
    [
        "export OPENAI_API_KEY=sk-1\n",
        "OPENAI_API_KEY='sk-1'\n",
        'OPENAI_API_KEY="sk-1"',
        "\ufeffOPENAI_API_KEY=sk-1\r\n",
        "# ключ\nOPENAI_API_KEY=sk-1 # mine\n",
    ],
)
def test_a_file_as_it_may_be_written(folder, text):
    (folder / ".env").write_text(text)
    assert find() == "sk-1"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_called_like_a_file_of_keys_is_passed_over(folder, make):
    make(folder / "a" / ".env")
    assert find() is None
    (folder / ".env").write_text("OPENAI_API_KEY=sk-1\n")
    assert find() == "sk-1"


@pytest.mark.parametrize(
    "data",
    [
        "OPENAI_API_KEY=sk-geheim-é\n".encode(),
        "OPENAI_API_KEY=“sk-geheim”\n".encode(),
        b"OPENAI_API_KEY=sk-geheim\xff\n",
        b'OPENAI_API_KEY="sk-geheim\nsecond"\n',
        b'OPENAI_API_KEY="sk-geheim\\nsecond"\n',
        b"OPENAI_API_KEY=sk-geheim\x07x\n",
        b"OPENAI_API_KEY=sk-geheim\0\n",
        "OPENAI_API_KEY=sk-geheim\n".encode("utf-16"),
        b"\x7fELF\2\1\1\0\0\0" * 100,
        bytes(range(256)),
    ],
)
def test_a_file_without_a_usable_key_is_named(folder, data):
    (folder / ".env").write_bytes(data)
    with pytest.raises(UserError) as raised:
        find()
    message = str(raised.value)
    assert message.startswith(str(folder / ".env")) and "\n" not in message
    assert "geheim" not in message and "; " in message


def test_a_file_that_cannot_be_read_is_named(folder, monkeypatch):
    (folder / ".env").write_text("OPENAI_API_KEY=sk-1\n")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(endpoints, "read_text", refuse)
    with pytest.raises(UserError, match=r"\.env: cannot be read \(Permission denied\); "):
        find()


@pytest.mark.parametrize("key", [b"sk-\xc3\xa9", b"sk-1\nsk-2", b"sk-\xff", b"sk-\x7f", b"sk\t1"])
def test_a_key_of_the_environment_that_no_header_takes_is_named(folder, key, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", os.fsdecode(key))
    with pytest.raises(UserError, match=r"^OPENAI_API_KEY has a character .*; copy") as raised:
        find()
    assert "sk" not in str(raised.value)


# What is shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("no key", "no key"),
        (f"key {KEY}.", "key ***."),
        (f"{KEY}{KEY}", "***"),
        (KEY[3:11], "***"),
        (KEY[3:10], KEY[3:10]),
        (f"a{KEY[-20:]}b", "a***b"),
        (f"{KEY[:9]} and {KEY[-9:]}", "*** and ***"),
        (quote(KEY, safe=""), "***"),
        (quote(KEY), "***"),
        (f"+{KEY}\n-{KEY[1:]}\n", "+***\n-***\n"),
    ],
)
def test_a_key_and_its_parts_are_replaced(text, shown):
    assert redact(text, KEY) == shown
    assert redact(text, None) == text


def test_of_a_short_key_only_the_whole_is_replaced():
    assert redact("EMPTY EMPT empty", "EMPTY") == "*** EMPT empty"


def test_a_large_text_is_soon_searched():
    text = "a line of some difference\n" * 40_000
    start = time.process_time()
    assert redact(text + KEY, KEY) == text + "***"
    assert time.process_time() - start < 5
