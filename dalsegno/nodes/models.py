"""Chat models as they are given to an agent: one of LangChain's, or its name."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableWithFallbacks
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.retry import RunnableRetry

from dalsegno.errors import DefinitionError, MissingExtra


def check_model(model: Any, *, needs: str | None = None) -> None:
    """Refuse what cannot be a model, or lacks the method that it `needs`.

    Raises
    ------
    DefinitionError
        It is neither a chat model, nor ``"provider:name"``, nor a runnable around a model.
    """
    if isinstance(model, str):
        if not model.strip():
            raise DefinitionError('A model has a name: "provider:name", as in "openai:gpt-5-mini".')
    elif not isinstance(model, Runnable):
        raise DefinitionError(
            f'{model!r} is no model. A model is a LangChain chat model, or "provider:name", as in "openai:gpt-5-mini".'
        )
    elif needs is not None and not _has(model, needs):
        what = "be given tools" if needs == "bind_tools" else "be asked for an answer of a shape"
        raise DefinitionError(
            f"{type(model).__name__} has no `{needs}`, so it cannot {what}. Give the chat model itself: what is around "
            "it can be a policy of the node."
            if not isinstance(model, BaseChatModel)
            else f"{type(model).__name__} has no `bind_tools` of its own, so it cannot {what}. Give a model that has."
        )


def _has(model: Any, method: str) -> bool:
    """Whether a model can be asked so; LangChain's own methods of every chat model only raise without `bind_tools`."""
    if not isinstance(model, BaseChatModel):
        return hasattr(model, method)
    return any(
        getattr(type(model), each) is not getattr(BaseChatModel, each) for each in {method, "bind_tools"}
    )


def resolved(model: Any) -> Any:
    """The model itself; one that is given by name is made by LangChain's `init_chat_model`.

    Raises
    ------
    MissingExtra
        `langchain`, or the provider's own package, is not installed.
    DefinitionError
        LangChain knows no such provider.
    """
    if not isinstance(model, str):
        return model
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise MissingExtra(
            f'A model by name, like {model!r}, needs LangChain: pip install "dalsegno[models]". Or give the model.',
            extra="models",
        ) from error
    try:
        return init_chat_model(model)
    except ImportError as error:
        raise MissingExtra(
            f"The model {model!r} needs its provider's package: {error}", extra="models"
        ) from error
    except ValueError as error:
        raise DefinitionError(f'{model!r} names no model; it is "provider:name". {error}') from error


def calls_of(model: Any) -> int:
    """The most model calls in one call: more than one where LangChain's retries or fallbacks are around the model."""
    if isinstance(model, RunnableWithFallbacks):
        return sum(calls_of(each) for each in (model.runnable, *model.fallbacks))
    if isinstance(model, RunnableRetry):
        return model.max_attempt_number * calls_of(model.bound)
    return calls_of(model.bound) if isinstance(model, RunnableBindingBase) else 1


def takes_messages(action: Any) -> bool:
    """Whether something is a chat model, as it is or bound: it is asked with messages, and knows nothing of a state."""
    while isinstance(action, RunnableBindingBase):
        action = action.bound
    return isinstance(action, BaseChatModel)


def is_model(value: Any) -> bool:
    """Whether something is a chat model, or the name of one."""
    return isinstance(value, BaseChatModel) or (isinstance(value, str) and ":" in value)
