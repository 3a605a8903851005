"""What patterns there are: read from the functions themselves, so that nothing said here can drift.

`@pattern(number, bound="...")` stands above each of them. Name, purpose, when, when not, failure path and
source come from the docstring, the bound from the formula, which tests hold against the certificate.
"""

from __future__ import annotations

import ast
import doctest
import functools
import importlib
import inspect
import operator
import pkgutil
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec

from dalsegno.errors import LEFT_OUT, DefinitionError, did_you_mean
from dalsegno.graphs.patterns.states import check_state
from dalsegno.graphs.workflow import Workflow

P = ParamSpec("P")
Counts = Callable[[Mapping[str, Any]], Mapping[str, int]]
"""What a formula counts besides a pattern's parameters: from their values to names and numbers."""

SECTIONS = ("When", "When not", "Parameters", "Bound", "Failure", "Source", "Example")
"""What every pattern's docstring has, in this order, under headings as numpy writes them."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """One entry of the catalogue.

    `formula` is the bound in supersteps where every actor is one node: a workflow that plays a role weighs its
    own bound besides.
    """

    number: int
    make: Callable[..., Workflow]
    formula: str
    counts: Counts | None = None

    @property
    def name(self) -> str:
        """The function's name."""
        return self.make.__name__

    @property
    def purpose(self) -> str:
        """What for, in a sentence."""
        return " ".join(self._head[0].split())

    @property
    def about(self) -> str:
        """What else the docstring says before its first section."""
        return self._head[1].strip()

    @property
    def sections(self) -> dict[str, str]:
        """The text of the docstring's sections by their headings."""
        return _sections(self.make)[1]

    @property
    def parameters(self) -> tuple[inspect.Parameter, ...]:
        """Actors first, then options."""
        return tuple(inspect.signature(self.make).parameters.values())

    @property
    def signature(self) -> str:
        """How it is called: names and defaults."""
        return f"{self.name}({', '.join(map(_parameter, _with_star(self.parameters)))})"

    def bound(self, *args: Any, **options: Any) -> int:
        """The formula's value for a call of the pattern."""
        given = inspect.signature(self.make).bind(*args, **options)
        given.apply_defaults()
        counted = self.counts(given.arguments) if self.counts is not None else {}
        return Formula(self.formula).value({**given.arguments, **counted})

    def example(self) -> Example:
        """The docstring's example."""
        return Example.of(self)

    @property
    def _head(self) -> tuple[str, str]:
        first, _, rest = _sections(self.make)[0].partition("\n\n")
        return first, rest


@dataclass(frozen=True)
class Example:
    """The example in a pattern's docstring: `setup` defines ``flow`` and ``given``, `shown` is what comes of it.

    `shown` are pairs of an expression and its value, as it is printed.
    """

    setup: str
    shown: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, pattern: Pattern) -> Example:
        """Read it from the docstring."""
        steps = doctest.DocTestParser().get_examples(pattern.sections["Example"])
        setup = _spaced([step.source for step in steps if not step.want])
        shown = tuple((step.source.strip(), step.want.strip()) for step in steps if step.want)
        return cls(setup, shown)

    def run(self) -> dict[str, Any]:
        """Execute the setup; ``flow`` and ``given`` are among what it defines."""
        namespace: dict[str, Any] = {"__name__": "__example__"}
        exec(compile(self.setup, "<example>", "exec", dont_inherit=True), namespace)
        return namespace


_PATTERNS: dict[str, Pattern] = {}


def pattern(
    number: int, *, bound: str, counts: Counts | None = None
) -> Callable[[Callable[P, Workflow]], Callable[P, Workflow]]:
    """Declare a function to be a pattern.

    Parameters
    ----------
    number
        Its place in the repertoire.
    bound
        The most supersteps of a run, a formula over its parameters: ``"6 * retries + 6"``, with ``len``,
        ``max``, ``min``, ``sum`` and ``a if b else c``.
    counts
        What the formula names besides: ``lambda given: {"undone": ...}``, explained under ``Bound``.
    """

    def declare(make: Callable[P, Workflow]) -> Callable[P, Workflow]:
        name = make.__name__
        base = inspect.signature(make).parameters["state"].default

        @functools.wraps(make)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Workflow:
            check_state(name, kwargs.get("state", base), base)
            flow = make(*args, **kwargs)
            said: Any = kwargs.get("options")
            for node in said or ():
                if node not in flow.nodes:
                    raise DefinitionError(
                        f"{name}(options=...): there is no node `{node}` here"
                        f"{did_you_mean(node, flow.nodes) or '.'} It has {', '.join(map('`{}`'.format, flow.nodes))}."
                    )
            return flow

        _PATTERNS[name] = Pattern(number, checked, bound, counts)
        return checked

    return declare


def catalog() -> dict[str, Pattern]:
    """Every pattern by its name, in the order of their numbers."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{__package__}.{module.name}")
    return dict(sorted(_PATTERNS.items(), key=lambda item: item[1].number))


def find(name: str) -> Pattern:
    """The pattern of that name.

    Raises
    ------
    DefinitionError
        There is none.
    """
    known = catalog()
    if name not in known:
        raise DefinitionError(
            f"There is no pattern `{name}`{did_you_mean(name, known) or '.'} `dalsegno patterns` lists all of them."
        )
    return known[name]


class Formula:
    """Arithmetic over named values, as it is printed.

    >>> Formula("2 * len(steps) + 1 if retry else 0").value({"steps": "abc", "retry": True})
    7
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._tree = ast.parse(text, mode="eval").body

    def value(self, names: Mapping[str, Any]) -> int:
        """What it comes to."""
        return int(_value(self._tree, names))


_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
    ast.Eq: operator.eq,
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"len": len, "max": max, "min": min, "sum": sum}


def _value(node: ast.AST, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return names[name]
        case ast.Attribute(inner, name):
            return getattr(_value(inner, names), name)
        case ast.UnaryOp(ast.USub(), inner):
            return -_value(inner, names)
        case ast.BinOp(left, operation, right):
            return _ARITHMETIC[type(operation)](_value(left, names), _value(right, names))
        case ast.Compare(left, [operation], [right]):
            return _ARITHMETIC[type(operation)](_value(left, names), _value(right, names))
        case ast.IfExp(test, yes, no):
            return _value(yes if _value(test, names) else no, names)
        case ast.Call(ast.Name(name), arguments) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*(_value(argument, names) for argument in arguments))
    raise DefinitionError(f"A bound is arithmetic over a pattern's parameters; {ast.unparse(node)} is not.")


def _sections(make: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The docstring before its first heading, and what stands under each.

    Raises
    ------
    DefinitionError
        Python was told to leave docstrings out.
    """
    if make.__doc__ is None:
        raise DefinitionError(LEFT_OUT)
    head: list[str] = []
    found: dict[str, list[str]] = {}
    into = head
    lines = inspect.cleandoc(make.__doc__).splitlines()
    for number, line in enumerate(lines):
        under = lines[number + 1] if number + 1 < len(lines) else ""
        if line and under == "-" * len(line):
            into = found.setdefault(line, [])
        elif not (line and set(line) == {"-"} and into is found.get(lines[number - 1])):
            into.append(line)
    return "\n".join(head), {name: textwrap.dedent("\n".join(text)).strip() for name, text in found.items()}


_IMPORT = ("import ", "from ")


def _spaced(parts: list[str]) -> str:
    """Statements as a module has them: two empty lines around functions and classes, one after the imports."""
    text = ""
    for before, part in zip(["", *parts], parts, strict=False):
        apart = any(one.startswith(("def ", "async def ", "class ", "@")) for one in (before, part))
        imports = before.startswith(_IMPORT) and not part.startswith(_IMPORT)
        text += ("\n\n" if apart and text else "\n" if imports else "") + part
    return text


def _with_star(parameters: Any) -> Any:
    starred = False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield None
        yield parameter


def _parameter(parameter: inspect.Parameter | None) -> str:
    if parameter is None:
        return "*"
    if parameter.default is parameter.empty:
        return parameter.name
    default = getattr(parameter.default, "__name__", None) or repr(parameter.default)
    return f"{parameter.name}={default}"
