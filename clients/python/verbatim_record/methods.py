"""Methods of clients, made of the functions in `operations`: both clients have the same signatures and docstrings."""

import functools
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

from verbatim_record.core import Core

P = ParamSpec("P")
R = TypeVar("R")


class Resource:
    """A group of methods that one core carries out."""

    def __init__(self, core: Core) -> None:
        self._core = core


class Method(Generic[P, R]):
    """The method with the signature of ``operation``, whose result ``carry_out`` makes of what that returns."""

    def __init__(self, operation: Callable[P, Any], carry_out: Callable[[Core, Any], R]) -> None:
        self._operation = operation
        self._carry_out = carry_out
        self.__doc__ = operation.__doc__

    @overload
    def __get__(self, resource: None, owner: type) -> Self: ...

    @overload
    def __get__(self, resource: Resource, owner: type) -> Callable[P, R]: ...

    def __get__(self, resource: Resource | None, owner: type) -> Self | Callable[P, R]:
        """Return the method of ``resource``."""
        if resource is None:
            return self
        core = resource._core  # noqa: SLF001 -- of the same module

        @functools.wraps(self._operation)
        def method(*args: P.args, **kwargs: P.kwargs) -> R:
            return self._carry_out(core, self._operation(*args, **kwargs))

        return method
