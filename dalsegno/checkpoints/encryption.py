"""Values encrypted at rest, and nothing else accepted.

Encrypted are the values of channels, what tasks wrote, LangGraph's own bookkeeping of a checkpoint, and
inputs and effects in the ledger. Names stay readable, since they are searched for: of threads, channels
and nodes, and the metadata.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langgraph.checkpoint.serde.base import CipherProtocol, SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer as LangGraphEncryptedSerializer

from dalsegno.checkpoints.strict import Allowed, StrictSerializer
from dalsegno.errors import DatabaseInvalid


class EncryptedSerializer(LangGraphEncryptedSerializer):
    """LangGraph's encrypting serializer that refuses what was stored without encryption.

    LangGraph's reads such a value as it is: whoever can write to the file needs no key to have it read.

    Parameters
    ----------
    cipher
        LangGraph's `CipherProtocol`: ``encrypt(bytes) -> (name, bytes)``, ``decrypt(name, bytes)``. It must
        authenticate what it decrypts, as AES in EAX or GCM mode does.
    serde
        Turns values into the bytes that are encrypted; a `StrictSerializer` where there is none.

    Examples
    --------
    ``EncryptedSerializer.from_pycryptodome_aes(key=key)``, with a key of 16, 24 or 32 bytes, needs
    ``pip install pycryptodome``.
    """

    def __init__(self, cipher: CipherProtocol, serde: SerializerProtocol | None = None) -> None:
        super().__init__(cipher, serde if serde is not None else StrictSerializer())

    @classmethod
    def from_pycryptodome_aes(
        cls, serde: SerializerProtocol | None = None, **options: Any
    ) -> EncryptedSerializer:
        made = super().from_pycryptodome_aes(serde if serde is not None else StrictSerializer(), **options)
        assert isinstance(made, cls)
        return made

    def allow_types(self, types: Iterable[Allowed]) -> None:
        """Let these types be written and read from now on, where the inner serializer has a list."""
        if isinstance(self.serde, StrictSerializer):
            self.serde.allow_types(types)

    def refuses(self, kind: str) -> bool:
        """Whether bytes of that kind are not encrypted."""
        return "+" not in kind

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        kind, payload = data
        name, _, cipher = kind.partition("+")
        if not cipher:
            raise DatabaseInvalid("A value was stored without encryption.", path="")
        try:
            plain = self.cipher.decrypt(cipher, payload)
        except Exception as error:  # whatever a cipher raises
            raise DatabaseInvalid(
                f"A value cannot be decrypted: the key is another one, or the value was changed ({error}).",
                path="",
            ) from error
        return self.serde.loads_typed((name, plain))
