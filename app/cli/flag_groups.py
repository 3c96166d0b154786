"""Flags that commands share in groups: a command takes each group as one argument.

    @grouped
    def ask(words: ..., *, memory: Annotated[Given, flags.MEMORY]) -> int: ...

is typed with every flag of the group, and is called with what was given of them, by name.  What
the flags mean is not known here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

Given = dict[str, Any]  # the flags of a group, None where one was not given


@dataclass(frozen=True, slots=True)
class Group:
    """Flags by the names of their parameters: what typer is told of each, and its default."""

    flags: Mapping[str, tuple[Any, Any]]

    @classmethod
    def of(cls, **options: Any) -> Group:
        """Flags that are None where they are not given."""
        return cls({name: (option, None) for name, option in options.items()})

    def parameters(self) -> list[inspect.Parameter]:
        kind = inspect.Parameter.KEYWORD_ONLY
        return [
            inspect.Parameter(name, kind, default=default, annotation=option)
            for name, (option, default) in self.flags.items()
        ]


def grouped(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Let a command be typed with the flags of its groups, where each group stands."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Group] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        found = [each for each in getattr(hints[name], "__metadata__", ()) if type(each) is Group]
        if found:
            groups[name] = found[0]
            parameters += found[0].parameters()
        else:
            parameters.append(parameter.replace(annotation=hints[name]))

    @functools.wraps(command)
    def run(**given: Any) -> int | None:
        of = {
            name: {flag: given.pop(flag) for flag in group.flags} for name, group in groups.items()
        }
        return command(**given, **of)

    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__annotations__["return"] = hints["return"]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run
