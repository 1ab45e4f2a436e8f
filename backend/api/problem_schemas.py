"""The schemas of problem documents: one for each problem, told apart by `type`, and one for problems of later releases.

A client that was generated from this release keeps working when a later one adds a problem: `OtherProblem` takes it.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, create_model

from backend import errors
from backend.api.problems import ALL, INVALID, PROBLEMS, UNREADY, ProblemType
from backend.schemas.problem import FaultyProblem, Problem, UnreadyProblem
from backend.schemas.voice_session import ProviderProblem

OTHER: Final = "OtherProblem"
# The problems that have more members than every problem has.
_MEMBERS: Final[Mapping[str, type[Problem]]] = {
    INVALID.slug: FaultyProblem,
    PROBLEMS[errors.LinkNotFound].slug: FaultyProblem,
    PROBLEMS[errors.ProviderRefused].slug: ProviderProblem,
    PROBLEMS[errors.ProviderUnavailable].slug: ProviderProblem,
    UNREADY.slug: UnreadyProblem,
}


def models() -> list[type[Problem]]:
    """Return the model of each problem, and of any other."""
    types = [problem.type for problem in ALL.values()]
    other = Annotated[str, Field(json_schema_extra={"not": {"enum": [*types]}})]
    return [
        *map(_model, ALL.values()),
        _derived(OTHER, Problem, "A problem that this release does not have. Act on its `status`.", type=other),
    ]


def _model(problem: ProblemType) -> type[Problem]:
    base, described = _MEMBERS.get(problem.slug, Problem), f"{problem.title}. {problem.remedy}"
    return _derived(_name(problem), base, described, type=Literal[problem.type], status=Literal[int(problem.status)])


def _derived(name: str, base: type[Problem], described: str, **fields: Any) -> type[Problem]:
    return create_model(name, __base__=base, __doc__=described, **fields)


def union(slugs: Iterable[str]) -> dict[str, Any]:
    """Return the schema of a problem that has one of ``slugs``, or that a later release has."""
    mapping = {ALL[slug].type: _reference(_name(ALL[slug])) for slug in slugs}
    return {
        "oneOf": [{"$ref": target} for target in (*mapping.values(), _reference(OTHER))],
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }


def _name(problem: ProblemType) -> str:
    """Return the name of a problem's schema, such as `TokenMissingProblem`."""
    return f"{problem.slug.title().replace('-', '')}Problem"


def _reference(name: str) -> str:
    return f"#/components/schemas/{name}"
