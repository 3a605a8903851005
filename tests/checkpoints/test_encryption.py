"""Encryption at rest: nothing of a value is readable in the file, and nothing else is read."""

from __future__ import annotations

import hashlib
import hmac
import json
import operator
import os
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.graph import START, StateGraph

from dalsegno.checkpoints import Ledger, SqliteCheckpointer, maintenance
from dalsegno.checkpoints.encryption import EncryptedSerializer
from dalsegno.checkpoints.exporting import export
from dalsegno.cli import main
from dalsegno.errors import DatabaseInvalid, TypeNotAllowed

THREAD: Any = {"configurable": {"thread_id": "t"}}
SECRET = "the treasure is under the oak "


class Keyed(CipherProtocol):
    """Encrypts and authenticates with what the standard library has; only for these tests."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    def _stream(self, nonce: bytes, size: int) -> bytes:
        return hashlib.shake_256(self.key + nonce).digest(size)

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        nonce = os.urandom(16)
        hidden = bytes(a ^ b for a, b in zip(plaintext, self._stream(nonce, len(plaintext)), strict=True))
        return "keyed", nonce + hmac.digest(self.key, nonce + hidden, "sha256") + hidden

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        nonce, tag, hidden = ciphertext[:16], ciphertext[16:48], ciphertext[48:]
        if not hmac.compare_digest(tag, hmac.digest(self.key, nonce + hidden, "sha256")):
            raise ValueError("wrong tag")
        return bytes(a ^ b for a, b in zip(hidden, self._stream(nonce, len(hidden)), strict=True))


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def run(saver: SqliteCheckpointer) -> Any:
    graph = StateGraph(State)
    graph.add_node("work", lambda state: {"log": [SECRET * 20]})
    graph.add_edge(START, "work")
    graph.add_conditional_edges("work", lambda s: "work" if len(s["log"]) < 5 else "__end__")
    return graph.compile(checkpointer=saver).invoke({"log": [SECRET]}, THREAD, durability="sync")


def encrypted(path: Path, key: bytes = b"k" * 32) -> SqliteCheckpointer:
    return SqliteCheckpointer(path, serde=EncryptedSerializer(Keyed(key)))


def test_no_value_is_readable_in_the_file(path: Path) -> None:
    with encrypted(path) as saver:
        expected = run(saver)
        ledger = Ledger(saver.database, saver.serde)
        ledger.finish(ledger.begin(run_id="r", thread="t", workflow="w", input=SECRET), "completed")
    files = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert SECRET.encode() not in files
    with encrypted(path) as saver:
        found = saver.get_tuple(THREAD)
        assert found is not None
        assert found.checkpoint["channel_values"]["log"] == expected["log"]
        assert run(saver)["log"][:5] == expected["log"][:5]
        maintenance.prune(saver.database)
        assert maintenance.check(saver.database) == []


def test_what_is_not_encrypted_is_shown_without_the_key(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with encrypted(path) as saver:
        run(saver)
        place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        saver.put(place, {**empty_checkpoint(), "id": "~"}, {"step": 9, "odd": {1}}, {})  # type: ignore[typeddict-unknown-key]
        ids = [each.config["configurable"]["checkpoint_id"] for each in saver.list(THREAD)]
        lines = [json.loads(line) for line in export(saver.database)]
    assert sorted(line["checkpoint_id"] for line in lines) == sorted(ids)
    assert {line["values"].get("log") for line in lines} == {None, "<msgpack+keyed>"}
    assert SECRET not in str(lines)
    history = ["history", "t", "--db", str(path)]
    assert main([*history, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [each["checkpoint_id"] for each in shown] == ids
    assert {9, -1, 0, 1} <= {each["step"] for each in shown}
    assert {each["created_at"] for each in shown} == {None}
    assert main(history) == 0


def test_what_an_encrypted_run_asks_is_shown_as_one_question_that_nobody_reads(path: Path) -> None:
    with encrypted(path) as saver:
        ledger = Ledger(saver.database, saver.serde)
        lease = ledger.begin(run_id="r", thread="t", workflow="w")
        ledger.finish(lease, "interrupted", interrupts=[{"id": "i", "node": "ask", "value": SECRET}])
        assert Ledger(saver.database).runs()[0].interrupts == ["<msgpack+keyed>"]


def test_another_key_is_an_error(path: Path) -> None:
    with encrypted(path) as saver:
        run(saver)
    with (
        encrypted(path, b"other") as saver,
        pytest.raises(DatabaseInvalid, match="key is another one") as raised,
    ):
        saver.get_tuple(THREAD)
    assert (raised.value.data["thread"], raised.value.data["key"]) == ("t", "checkpoint")
    assert "`checkpoint` in thread 't'" in str(raised.value)


def test_a_checkpointer_without_the_key_says_that_it_needs_one(path: Path) -> None:
    with encrypted(path) as saver:
        run(saver)
    with SqliteCheckpointer(path) as saver, pytest.raises(TypeNotAllowed, match="is encrypted") as raised:
        saver.get_tuple(THREAD)
    assert "serde=EncryptedSerializer" in str(raised.value)
    assert "allow=" not in str(raised.value)


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_metadata_of_no_known_kind_is_damage(path: Path, is_encrypted: bool) -> None:
    with encrypted(path) if is_encrypted else SqliteCheckpointer(path) as saver:
        run(saver)
        with saver.database.transaction() as connection:
            connection.execute("UPDATE checkpoints SET metadata_type = x'00', metadata_blob = x'00'")
        with pytest.raises(DatabaseInvalid, match="`metadata` in thread 't'"):
            saver.get_tuple(THREAD)


def test_what_was_stored_without_encryption_is_refused(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        run(saver)
    with encrypted(path) as saver, pytest.raises(DatabaseInvalid, match=r"thread 't' was stored without"):
        saver.get_tuple(THREAD)


@pytest.mark.parametrize("table", ["checkpoints", "writes"])
def test_a_plain_value_that_somebody_put_into_the_file_is_refused(path: Path, table: str) -> None:
    import ormsgpack

    with encrypted(path) as saver:
        run(saver)
        with saver.database.transaction() as connection:
            for row, body in connection.execute(f"SELECT checkpoint_id, body FROM {table}").fetchall():
                content = ormsgpack.unpackb(body)
                if table == "writes":
                    content = [[*entry[:3], 0, ormsgpack.packb("forged")] for entry in content]
                else:
                    content[2] = {"=log": [1, 0, ormsgpack.packb(["forged"])]}
                forged = ormsgpack.packb(content), row
                connection.execute(f"UPDATE {table} SET body = ? WHERE checkpoint_id = ?", forged)
        with pytest.raises(DatabaseInvalid, match="without encryption"):
            list(saver.list(THREAD))


def test_the_types_of_an_encrypted_value_are_checked_as_ever(path: Path) -> None:
    with encrypted(path) as saver, pytest.raises(TypeNotAllowed, match="Point"):
        saver.put_writes(
            {"configurable": {"thread_id": "t", "checkpoint_id": "1"}}, [("k", Point(1))], "task"
        )
    with encrypted(path) as saver:
        saver.allow_types([Point])
        saver.put_writes(
            {"configurable": {"thread_id": "t", "checkpoint_id": "1"}}, [("k", Point(1))], "task"
        )


class Point:
    """Not allowed; with a notation of LangGraph's (a named tuple's)."""

    def __init__(self, x: int) -> None:
        self.x = x

    def _asdict(self) -> dict[str, int]:
        return {"x": self.x}
