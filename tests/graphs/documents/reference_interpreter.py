"""What a document means, in a few lines of Python: no graph, no pattern, no parser. The tests compare with it.

References and conditions are tuples here, and are written as text where the document is made of them: ``("ref",
root, path, optional)``, ``("text", parts)``, and ``("cmp", left, operator, right)``, ``("and", …)``, ``("or", …)``,
``("not", …)``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Functions = dict[str, Callable[[Any], Any]]


class Failed(Exception):
    """A call, or what it was to be asked, failed."""


class RunFailed(Exception):
    """The run failed."""


class NoSuchList(RunFailed):
    """A map goes over what is no list, or too long: a bound was broken, which no `on_error` deals with."""


@dataclass
class Env:
    """What references see."""

    given: Any
    current: Any
    previous: Any = None
    result: Any = None
    results: dict[str, Any] = field(default_factory=dict)

    def but(self, **changed: Any) -> Env:
        return Env(**{**vars(self), **changed})


# -- values and conditions -----------------------------------------------------------------------


def value_of(made: Any, env: Env) -> Any:
    if isinstance(made, list):
        return [value_of(each, env) for each in made]
    if isinstance(made, dict):
        return {key: value_of(each, env) for key, each in made.items()}
    if not isinstance(made, tuple):
        return made
    if made[0] == "text":
        return "".join(part if isinstance(part, str) else as_text(part, env) for part in made[1])
    found = look_up(made, env)
    if found or made[3]:
        return found[0] if found else None
    raise Failed(f"nothing at {made}")


def as_text(made: Any, env: Env) -> str:
    value = value_of(made, env)
    if value is None and made[3]:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def look_up(made: Any, env: Env) -> list[Any]:
    """What is there, in a list."""
    _, root, path, _ = made
    here = {"input": env.given, "current": env.current, "previous": env.previous, "result": env.result}.get(
        root, env.results
    )
    for part in path:
        if isinstance(part, int):
            if not isinstance(here, list) or not -len(here) <= part < len(here):
                return []
        elif not isinstance(here, dict) or part not in here:
            return []
        here = here[part]
    return [here]


def holds(made: Any, env: Env) -> bool:
    if made[0] in ("and", "or"):
        first = holds(made[1], env)
        return first if first is (made[0] == "or") else holds(made[2], env)
    if made[0] == "not":
        return not holds(made[1], env)
    left, right = (of(side, env) for side in (made[1], made[3]))
    if made[2] in ("==", "!="):
        return same(left, right) is (made[2] == "==")
    if left is None or right is None:
        return False
    if not number(left) or not number(right):
        raise Failed("no order")
    return bool({"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[made[2]])


def of(side: Any, env: Env) -> Any:
    if isinstance(side, tuple) and side[0] == "length":
        value = of(side[1], env)
        if value is not None and not isinstance(value, str | list | dict):
            raise Failed("no length")
        return len(value or ())
    if isinstance(side, tuple):
        return (look_up(side, env) or [None])[0]
    return side


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


# -- steps ---------------------------------------------------------------------------------------


@dataclass
class Run:
    """A run of a document: `steps` as it has them, but with tuples for texts; `functions` by their names."""

    steps: list[dict[str, Any]]
    functions: Functions
    undone: list[str] = field(default_factory=list)
    not_undone: list[str] = field(default_factory=list)
    done: dict[str, tuple[dict[str, Any], Env]] = field(default_factory=dict)
    rolled_back: bool = False

    def run(self, given: Any, *output: Any) -> Any:
        """The output; `RunFailed` where the run fails."""
        env = Env(given, given)
        if not self.through(self.steps, env):
            return None
        try:
            return value_of(output[0], env.but(previous=env.current)) if output else env.current
        except Failed as failed:
            raise RunFailed from failed

    def through(self, steps: list[dict[str, Any]], env: Env) -> bool:
        """Goes through a list of steps; False where it ended by taking back. In a loop, that fails the loop."""
        names = [step["name"] for step in steps]
        back: dict[str, int] = {}
        place = 0
        while place < len(steps):
            step = steps[place]
            env.previous = env.current
            if "condition" in step:
                try:
                    if not holds(step["condition"], env):
                        place += 1
                        continue
                except Failed as failed:
                    raise RunFailed from failed
            try:
                self.step(step, env)
                place += 1
            except Failed as failed:
                word = step.get("on_error", "compensate" if step["strategy"] == "saga" else "fail")
                if word == "fail" or (word == "compensate" and steps is not self.steps):
                    raise RunFailed from failed
                if word == "skip":
                    place += 1
                elif word == "compensate":
                    self.take_back(env)
                    return False
                else:
                    target = names.index(word["goto"])
                    if target <= place:
                        back[step["name"]] = back.get(step["name"], 0) + 1
                        if back[step["name"]] > word["max"]:
                            raise RunFailed from failed
                    place = target
        return True

    def step(self, step: dict[str, Any], env: Env) -> None:
        result = getattr(self, step["strategy"])(step, env)
        if result is not _SKIPPED:
            env.results[step["name"]] = env.current = result

    def call(self, call: dict[str, Any], env: Env) -> Any:
        try:
            return self.functions[call["function"]](value_of(call["params"], env))
        except ValueError as error:
            raise Failed from error

    def noted(self, step: dict[str, Any], call: dict[str, Any], env: Env, answer: Any) -> None:
        if "compensation" in call:
            self.done[f"{step['name']}.{call['name']}"] = (call["compensation"], env.but(result=answer))

    def sequential(self, step: dict[str, Any], env: Env) -> Any:
        previous = env.current
        for call in step["agent_calls"]:
            seen = env.but(previous=previous)
            previous = self.call(call, seen)
            self.noted(step, call, seen, previous)
        return previous

    def parallel(self, step: dict[str, Any], env: Env) -> Any:
        answers, failed = [], None
        for call in step["agent_calls"]:
            try:
                answers.append(self.call(call, env))
                self.noted(step, call, env, answers[-1])
            except Failed as error:
                answers.append(None)
                failed = error
        if failed is not None and step.get("on_error") != "skip":
            raise failed
        return answers

    def conditional(self, step: dict[str, Any], env: Env) -> Any:
        for call in step["agent_calls"]:
            if "when" not in call or holds(call["when"], env):
                answer = self.call(call, env)
                self.noted(step, call, env, answer)
                return answer
        return _SKIPPED

    def map_reduce(self, step: dict[str, Any], env: Env) -> Any:
        try:
            items = value_of(step["over"], env)
        except Failed as failed:  # no call has failed
            raise RunFailed from failed
        if not isinstance(items, list) or len(items) > step["max"]:
            raise NoSuchList
        answers = []
        for item in items:
            try:
                answers.append(self.call(step["agent_calls"][0], env.but(current=item, previous=item)))
            except Failed:
                if step.get("on_error") != "skip":
                    raise
                answers.append(None)
        if len(step["agent_calls"]) == 1:
            return answers
        return self.call(step["agent_calls"][1], env.but(current=answers, previous=answers))

    def saga(self, step: dict[str, Any], env: Env) -> Any:
        answers: list[Any] = []
        seen = env
        done: list[tuple[dict[str, Any], Env, Any]] = []
        try:
            for call in step["agent_calls"]:
                seen = env.but(previous=answers[-1] if answers else env.current)
                answers.append(self.call(call, seen))
                done.append((call, seen, answers[-1]))
        except Failed:
            for call, then, answer in reversed(done):
                if "compensation" in call:
                    self.undo(f"{step['name']}.{call['name']}", call["compensation"], then.but(result=answer))
            raise
        for call, then, answer in done:
            self.noted(step, call, then, answer)
        return answers

    def loop(self, step: dict[str, Any], env: Env) -> Any:
        inner = env.but(results=dict(env.results))
        for _ in range(step["max"]):
            inner.results = dict(env.results)
            inner.previous = inner.current
            if "steps" in step:
                try:
                    self.through(step["steps"], inner)
                except NoSuchList:
                    raise
                except RunFailed as failed:
                    raise Failed from failed
            else:
                inner.current = self.sequential(step, inner)
            inner.previous = inner.current
            if "until" in step and holds(step["until"], inner):
                break
        for name in set(inner.results) - set(env.results):
            env.results[name] = inner.results[name]
        return inner.current

    # -- taking back -----------------------------------------------------------------------------

    def take_back(self, env: Env) -> None:
        """What was done, the last of the document first."""
        self.rolled_back = True
        order = [f"{s['name']}.{c['name']}" for s in self.steps for c in s.get("agent_calls", ())]
        for name in reversed(order):
            if name in self.done and name not in (*self.undone, *self.not_undone):
                compensation, then = self.done[name]
                self.undo(name, compensation, then.but(results=env.results))

    def undo(self, name: str, compensation: dict[str, Any], env: Env) -> None:
        try:
            self.call(compensation, env)
            self.undone.append(name)
        except Failed:
            self.not_undone.append(name)


_SKIPPED: Any = object()


# -- as it is written ----------------------------------------------------------------------------


def written(made: Any) -> Any:
    """A value as a document has it."""
    if isinstance(made, list):
        return [written(each) for each in made]
    if isinstance(made, dict):
        return {key: condition(v) if key in _CONDITIONS else written(v) for key, v in made.items()}
    if isinstance(made, str):
        return made.replace("$", "$$")
    if not isinstance(made, tuple):
        return made
    if made[0] == "text":
        return "".join(
            part.replace("$", "$$") if isinstance(part, str) else written(part) for part in made[1]
        )
    return f"${{{path_of(made)}{'?' if made[3] else ''}}}"


_CONDITIONS = ("condition", "when", "until")


def path_of(made: Any) -> str:
    _, root, path, _ = made
    text = root if root != "results" else "context.results"
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"['{part}']" if " " in part else f".{part}"
    return text


def condition(made: Any) -> str:
    if made[0] in ("and", "or"):
        return f"({condition(made[1])}) {made[0]} ({condition(made[2])})"
    if made[0] == "not":
        return f"not ({condition(made[1])})"
    return f"{operand(made[1])} {made[2]} {operand(made[3])}"


def operand(side: Any) -> str:
    if isinstance(side, tuple) and side[0] == "length":
        return f"length({operand(side[1])})"
    return f"${path_of(side)}" if isinstance(side, tuple) else json.dumps(side)
