"""A program that waits for a chat endpoint ends soon after SIGTERM or Ctrl-C, and resumes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.support.chat_stub import completion, refusal, running_stub
from tests.support.data import REPOSITORY

SECONDS = 5


def drip(handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(300):
        handler.wfile.write(b" ")
        time.sleep(0.1)


WAITS = {
    "a pause of a minute": refusal(429, retry_after="60"),
    "status 500": refusal(500),
    "a slow drip": (200, drip, {}),
    "hangs": (200, lambda handler: time.sleep(30), {}),
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("wait", WAITS)
def test_a_program_that_waits_for_its_judge_ends_at_once(tmp_path, wait, number):
    source, output = tmp_path / "answers.jsonl", tmp_path / "graded.jsonl"
    rows = [{"question": "q", "gold": "g", "answer": f"answer {n}"} for n in range(3)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    waiting = threading.Event()

    def reply(prompt):
        if "answer 2" not in prompt:
            return completion("yes")
        waiting.set()
        return WAITS[wait]

    with running_stub() as stub:
        stub.reply = reply
        command = [sys.executable, str(REPOSITORY / "general-knowledge" / "grade_answers.py")]
        command += ["--input", str(source), "--output", str(output), "--judge", "openai"]
        command += ["--judge_url", stub.url, "--judge_cache", str(tmp_path / "cache.jsonl")]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert waiting.wait(60)
        time.sleep(0.5)  # into the pause between two attempts
        start = time.monotonic()
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
        assert time.monotonic() - start < SECONDS
        assert process.returncode == (143 if number == signal.SIGTERM else 130)
        assert "Traceback" not in error and "Exception" not in error
        # What was answered is kept, and is not asked again
        asked = len(stub.bodies)
        stub.reply = lambda prompt: completion("no")
        subprocess.run(command, env=environment, check=True)
        assert len(stub.bodies) == asked + 2, "the check and the answer that was waited for"
    verdicts = [json.loads(line)["verdict"] for line in output.read_text().splitlines()]
    assert verdicts == [True, True, False]
