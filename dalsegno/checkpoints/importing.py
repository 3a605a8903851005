"""Taking over the database of LangGraph's own `SqliteSaver`."""

from __future__ import annotations

import contextlib
import json
import os
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import ormsgpack

from dalsegno.checkpoints import values
from dalsegno.checkpoints.encryption import EncryptedSerializer
from dalsegno.checkpoints.failures import DAMAGE
from dalsegno.checkpoints.file import rows
from dalsegno.checkpoints.file.cache import Cache
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.file.group_commit import write
from dalsegno.checkpoints.file.storing import Given, PutCheckpoint, PutWrites
from dalsegno.checkpoints.strict import PACKING, StrictSerializer
from dalsegno.errors import DatabaseInvalid, DatabaseUnavailable

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

    from dalsegno.checkpoints.sqlite import SqliteCheckpointer

_PLAIN = StrictSerializer()
_WANTED = "Only a database of LangGraph's SqliteSaver can be; one of Dalsegno is used as it is: name it with `--db`."


def import_sqlite_saver(
    saver: SqliteCheckpointer, path: str | os.PathLike[str], *, serde: SerializerProtocol | None = None
) -> int:
    """Copy every checkpoint and write of a `SqliteSaver` database; gives the number of checkpoints.

    Values are moved as bytes: no type of theirs is built, so none needs to be allowed. Versions become whole
    numbers. The source is only read; each thread is one transaction, and doing it again does no harm.

    Parameters
    ----------
    serde
        Reads the values of a database whose values are no msgpack, as one that is encrypted. They are
        built then, and stored by the serializer of `saver`.

    Raises
    ------
    DatabaseUnavailable
        The file is not there or cannot be read.
    DatabaseInvalid
        It is no database of a `SqliteSaver`, is damaged, or holds values that only a `serde` can read. The threads
        before that one are taken over.
    """
    source = _Source(os.fspath(path), serde)
    stored_by = saver.serde if serde is not None else _bytes_of(saver.serde)
    count = 0
    with source.opened() as connection:
        for (thread,) in connection.execute("SELECT DISTINCT thread_id FROM checkpoints").fetchall():
            cache = Cache()
            versions: dict[tuple[str, str], Mapping[str, Any]] = {}
            with saver.database.transaction() as into:
                for given in source.checkpoints(connection, thread, versions, stored_by):
                    job = PutCheckpoint(given, stored_by, cache)
                    write([job], into)
                    job.committed()
                    count += 1
                for writes in source.writes(connection, thread, stored_by):
                    write([writes], into)
    return count


class _Source:
    """A database of a `SqliteSaver`."""

    def __init__(self, path: str, serde: SerializerProtocol | None) -> None:
        self._path = path
        self._serde = serde

    @contextlib.contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        if not os.path.isfile(self._path):
            raise DatabaseUnavailable(f"There is no file `{self._path}` to import.", path=self._path)
        try:
            connection = sqlite3.connect(self._address(), uri=True, isolation_level=None)
        except sqlite3.Error as error:
            raise DatabaseUnavailable(
                f"`{self._path}` cannot be opened ({error}). May you read it?", path=self._path
            ) from error
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("BEGIN")
            columns = {row[1] for row in connection.execute("PRAGMA table_info(checkpoints)")}
            known = {"parent_checkpoint_id", "type", "checkpoint", "metadata"}
            if not columns >= known:
                raise DatabaseInvalid(f"`{self._path}` cannot be imported. {_WANTED}", path=self._path)
            yield connection
        except (sqlite3.Error, UnicodeDecodeError) as error:  # a damaged schema may be no text
            way = (
                ""
                if self._may_write_beside()
                else " Copy it, with the `-wal` beside it, to where you may write."
            )
            raise DatabaseInvalid(
                f"`{self._path}` cannot be imported ({error}). {_WANTED}{way}", path=self._path
            ) from error
        finally:
            connection.close()

    def _address(self) -> str:
        """Where it is, to be only read. In a folder that may not be written to, SQLite cannot make the file in which
        those who use a write-ahead log agree; it needs none where there is no log that anybody uses."""
        place = os.path.realpath(self._path)  # beside the file itself is its log, whatever link leads to it
        address = f"file:{urllib.parse.quote(place, errors='surrogateescape')}?mode=ro"
        is_used = any(os.path.exists(place + end) for end in ("-wal", "-journal"))
        return address if is_used or self._may_write_beside() else address + "&immutable=1"

    def _may_write_beside(self) -> bool:
        return os.access(os.path.dirname(os.path.realpath(self._path)), os.W_OK)

    def checkpoints(
        self,
        connection: sqlite3.Connection,
        thread: str,
        versions: dict[tuple[str, str], Mapping[str, Any]],
        stored_by: SerializerProtocol,
    ) -> Iterator[Given]:
        """The checkpoints of a thread, parents first. `versions` remembers those of each."""
        for namespace, checkpoint_id, parent, kind, blob, metadata in connection.execute(
            "SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata "
            "FROM checkpoints WHERE thread_id = ? ORDER BY checkpoint_ns, checkpoint_id",
            (thread,),
        ):
            with self._damage(thread, "checkpoint"):
                _texts(thread, namespace, checkpoint_id, parent or "")
                checkpoint = self._load(kind, blob, thread, "checkpoint")
                if checkpoint["id"] != checkpoint_id:
                    raise ValueError("its name is another one's")
                numbers = {key: _number(one) for key, one in checkpoint["channel_versions"].items()}
                checkpoint["channel_versions"] = versions[namespace, checkpoint_id] = numbers
                checkpoint["versions_seen"] = {
                    node: {channel: _number(version) for channel, version in seen.items()}
                    for node, seen in checkpoint["versions_seen"].items()
                }
                _texts(*numbers, *checkpoint["versions_seen"], *checkpoint["channel_values"].keys())
                before = versions.get((namespace, parent), {}) if parent else {}
            with self._damage(thread, "metadata"):
                described = json.loads(metadata) if metadata else {}
                _texts(*described.keys())
            yield Given(
                place=(thread, namespace),
                parent=parent,
                checkpoint=checkpoint,
                new_versions={key: one for key, one in numbers.items() if before.get(key) != one},
                metadata=rows.dump_metadata(stored_by, described, thread),
            )

    def writes(
        self, connection: sqlite3.Connection, thread: str, stored_by: SerializerProtocol
    ) -> Iterator[PutWrites]:
        """What the tasks of a thread wrote."""
        columns = {row[1] for row in connection.execute("PRAGMA table_info(writes)")}
        path = "task_path" if "task_path" in columns else "''"
        for namespace, checkpoint_id, task, task_path, index, channel, kind, blob in connection.execute(
            f"SELECT checkpoint_ns, checkpoint_id, task_id, {path}, idx, channel, type, value FROM writes "
            "WHERE thread_id = ? ORDER BY checkpoint_ns, checkpoint_id, task_id, idx",
            (thread,),
        ):
            with self._damage(thread, "writes"):
                _texts(namespace, checkpoint_id, task, task_path, channel)
                index.to_bytes(8, "big", signed=True)
                value = self._load(kind, blob, thread, channel)
            dumped = values.dump(stored_by, value, thread=thread, key=channel)
            write = (task_path, index, channel, *dumped)
            yield PutWrites((thread, namespace), checkpoint_id, task, [write])

    @contextlib.contextmanager
    def _damage(self, thread: object, key: str) -> Iterator[None]:
        try:
            yield
        except DAMAGE as error:
            raise DatabaseInvalid(
                f"`{key}` in thread {thread!r} of `{self._path}` is not as a SqliteSaver writes it "
                f"({type(error).__name__}: {error}). Nothing of this thread was taken over.",
                path=self._path,
                thread=str(thread),
                key=key,
            ) from error

    def _load(self, kind: str, blob: bytes, thread: str, key: str) -> Any:
        if self._serde is not None:
            return self._serde.loads_typed((kind, blob))
        if kind == "msgpack":
            # Extensions stay what they are: the bytes of a type, which nobody builds here.
            return ormsgpack.unpackb(
                blob, ext_hook=ormsgpack.Ext, option=PACKING & ormsgpack.OPT_NON_STR_KEYS
            )
        if kind in ("null", "bytes", "bytearray"):
            return _PLAIN.loads_typed((kind, blob))
        raise DatabaseInvalid(
            f"`{key}` in thread {thread!r} of `{self._path}` is stored as `{kind}`. Pass the serializer that "
            "wrote it: `import_sqlite_saver(saver, path, serde=...)`.",
            path=self._path,
            thread=thread,
            key=key,
        )


def _bytes_of(serde: SerializerProtocol) -> SerializerProtocol:
    """What stores values that are moved as bytes: encrypted where `serde` reads nothing else."""
    return EncryptedSerializer(serde.cipher, _PLAIN) if isinstance(serde, EncryptedSerializer) else _PLAIN


def _texts(*names: object) -> None:
    """Raise TypeError where a name is no text: SQLite keeps whatever it is given."""
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{name!r} is no name")


def _number(version: Any) -> Any:
    """A version as a whole number: those of a `SqliteSaver` are ``"0…03.0.123"``, a count and a random part."""
    if isinstance(version, str):
        return int(version.partition(".")[0])
    if not isinstance(version, (int, float, type(None))):
        raise TypeError(f"{version!r} is no version")
    return version
