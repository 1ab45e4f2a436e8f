"""Each setting, command, operation, problem and scope stands in one place of the pages, as it is, and no other does."""

import ast
import re
from typing import Final

import pytest

from backend.api.problems import ALL, PROBLEMS, UNREADY
from backend.cli import COMMANDS
from backend.errors import SearchTooSlow, TokenInvalid, TokenMissing, TooSlow, Unavailable
from backend.formats.transcript import TranscriptFormat
from backend.http_limits.refusals import Reason
from backend.principal import PERSONAL
from backend.settings import PREFIX, Settings
from backend.vocabulary import Scope
from tests.architecture.test_openapi import operations
from tests.documentation import PAGES, ROOT, anchors, blocks, every_block, prose, rows, table

SOURCES: Final = [*(ROOT / "backend").rglob("*.py"), *(ROOT / "clients/python").rglob("*.py")]

REMEMBERED: Final = {  # by what wraps the loggers, and by the access log
    "timestamp",
    "level",
    "event",
    "logger",
    "request_id",
    "exception",
    "places",
    "remedy",
    "method",
    "route",
    "status",
    "ms",
}


def test_every_setting_is_listed_once_with_its_default_and_no_other() -> None:
    listed = [row for row in rows(PAGES["docs/settings.md"]) if re.fullmatch(r"`[A-Z_]+`", row[0])]
    fields = {
        "DATABASE_URL" if name == "database_url" else PREFIX + name.upper(): field.default
        for name, field in Settings.model_fields.items()
    }
    assert sorted(row[0].strip("`") for row in listed) == sorted(fields)
    for name, default, _ in listed:
        if name != "`VERBATIM_DATA_DIR`":
            assert default == _written(fields[name.strip("`")]), name


def _written(default: object) -> str:
    match default:
        case None:
            return "none"
        case ():
            return "`[]`"
        case float():
            return f"`{int(default)}`"
    return f"`{default}`"


def test_no_page_names_a_setting_that_is_not_there() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    # What Kubernetes makes, what the examples read, and what tells the tests of a cluster where one is.
    examples = {"VERBATIM_SERVICE_HOST", "VERBATIM_URL", "VERBATIM_TEST_CITUS"}
    named = {name for text in PAGES.values() for name in re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", text)}
    assert named - examples <= known


def test_every_command_is_listed_and_no_other() -> None:
    described = {name for row in rows(PAGES["docs/commands.md"]) for name in re.findall(r"`verbatim ([\w-]+)", row[0])}
    assert described == set(COMMANDS)


def test_every_operation_is_listed_once_with_its_scope_and_no_other() -> None:
    listed = [(row[0].strip("`"), row[1].strip("`")) for row in table("docs/api.md", "## Operations")]
    assert listed == [
        (name, scope)
        for name, operation in operations()
        for requirement in operation["security"]
        for [scope] in requirement.values()
    ]


@pytest.mark.parametrize("name", [name for name, _ in operations()])
def test_every_operation_is_shown_by_example(name: str) -> None:
    method, path = name.split()
    pattern = path.removeprefix("/api/v1").replace("{conversation_id}", "$id").replace("{session_id}", "$session")
    pattern = pattern.replace("{delivery_id}", "$delivery").replace("{message_id}", "$message")
    typed = [block.text for block in every_block() if block.language == "sh" and not block.excuse]
    shown = [line for text in typed for line in re.split(r"\n(?=curl)", text) if f"$A{pattern}" in line]
    verb = {
        "GET": r"^(?!.*(-d|-X))",
        "POST": "-d '|-X POST",
        "PATCH": "-X PATCH",
        "PUT": "-X PUT",
        "DELETE": "-X DELETE",
    }[method]
    assert any(re.search(verb, line) for line in shown), name


def test_every_problem_is_listed_once_with_its_status_and_whether_to_send_again() -> None:
    listed = [row for row in table("docs/api.md", "## Errors") if len(row) == 4]
    assert [(row[0].strip("`"), int(row[1])) for row in listed] == sorted(
        ((slug, problem.status.value) for slug, problem in ALL.items()), key=lambda each: (each[1], each[0])
    )
    kinds = {problem.slug: kind for kind, problem in PROBLEMS.items()}
    for row in listed:
        slug = row[0].strip("`")
        kind = kinds.get(slug)
        expected = {TokenMissing: "yes, with a new token", TokenInvalid: "yes, with a new token"}.get(kind or int)
        if kind in {TooSlow, SearchTooSlow}:
            expected = "yes, and ask for less"
        again = slug in {UNREADY.slug, "internal-error", "request-timeout"} or issubclass(kind or int, Unavailable)
        assert row[3] == (expected or ("yes" if again else "no")), slug


def test_every_scope_is_listed_once_with_who_may_have_it() -> None:
    listed = {
        scope: row[2] for row in table("docs/auth.md", "## Scopes") for scope in re.findall(r"`([\w:]+)`", row[0])
    }
    assert listed == {scope: "people, services" if scope in PERSONAL else "services" for scope in Scope}


def test_every_sentence_that_a_runbook_quotes_is_one_that_the_service_says() -> None:
    _, _, runbooks = PAGES["docs/operations.md"].partition("\n## Runbooks\n")
    code = re.sub(r'"\s+"', "", "\n".join(source.read_text() for source in (ROOT / "backend").rglob("*.py")))
    quoted = [re.sub(r"\s+", " ", each) for each in re.findall(r"`([A-Z][a-z]+ [^`]+\.)`", runbooks)]
    assert len(quoted) > 2
    for sentence in quoted:
        assert re.sub(r"\d+.*", "", sentence) in code, sentence


def test_every_format_of_a_transcript_is_listed() -> None:
    listed = [name for row in table("docs/api.md", "## Read the whole") for name in re.findall(r"`(\w+)`", row[0])]
    assert set(listed) >= set(TranscriptFormat)


def test_every_reason_for_which_the_server_gives_up_a_request_is_listed() -> None:
    listed = [
        name for row in table("docs/metrics.md", "## HTTP") if len(row) == 2 for name in re.findall(r"`(\w+)`", row[0])
    ]
    assert sorted(listed) == sorted([*Reason, "bodies"])


def test_every_field_of_a_log_line_is_listed_and_no_other() -> None:
    listed = {name for row in table("docs/operations.md", "## Log fields") for name in re.findall(r"`(\w+)`", row[0])}
    logged = set(REMEMBERED) | {"error", "sqlstate", "constraint"}
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and re.fullmatch(r"_?log\.\w+|self\._(say|warn)", ast.unparse(node.func)):
                logged |= {keyword.arg for keyword in node.keywords if keyword.arg}
                logged |= {name for fact in node.args[1:] for name in re.findall(r"'(\w+)':", ast.unparse(fact))}
    assert listed == logged - {"exc_info"}


def test_every_line_of_the_log_that_the_pages_name_is_written() -> None:
    code = "\n".join(source.read_text() for source in SOURCES)
    named = {name for row in table("docs/operations.md", "## Log fields") for name in re.findall(r"`([^`…]+)`", row[1])}
    assert len(named) > 10
    assert [name for name in named if f'"{name}' not in code] == []


LINKS: Final = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)\s]+)\)", prose(page))]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_between_pages_leads_somewhere(page: str) -> None:
    for _, link in [each for each in LINKS if each[0] == page and not each[1].startswith("https://")]:
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(str(target.relative_to(ROOT))), link


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_test_that_a_page_names_exists(page: str) -> None:
    pattern = r"`((?:backend|clients|tests|examples|alembic|deploy|docs)/[\w./-]*\w/?)(?:::(\w+))?`"
    for path, name in re.findall(pattern, PAGES[page]):
        assert (ROOT / path).exists(), path
        if name:
            assert re.search(rf"def {name}\(", (ROOT / path).read_text()), name


def test_every_name_in_a_recipe_is_one_of_the_code() -> None:
    made_up = {
        "language",
        "csv",
        "ConversationLocked",
        "NNNN_language",
        "verbatim_append_2",
        "console",
        "Model",
    }
    code = "\n".join(
        path.read_text()
        for folder in ("backend", "clients/python", "tests", "alembic")
        for path in (ROOT / folder).rglob("*.py")
    )
    words = set(re.findall(r"\w+", code + (ROOT / "Makefile").read_text()))
    named = {
        name
        for row in rows(PAGES["docs/howto.md"])
        for span in re.findall(r"`([^`/ ]+)`", " ".join(row[1:]))
        for name in re.findall(r"(?<!\w)[A-Za-z_]\w+", span)
    }
    assert len(named) > 40
    assert named - words - made_up == set()


def test_every_page_is_in_the_index_of_the_site_and_every_page_of_the_index_exists() -> None:
    named = re.findall(r"^\s+- .*?([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    pages = [page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")]
    assert sorted(named) == sorted([*pages, "index.md", "contributing.md", "changelog.md", "security.md"])


def test_the_top_level_is_what_the_owner_asked_for() -> None:
    asked = "backend alembic alembic.ini tests pyproject.toml docker-compose.yml README.md"
    assert [name for name in asked.split() if not (ROOT / name).exists()] == []


def test_the_readme_stays_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 160


def test_the_words_of_the_glossary_are_in_order_and_each_is_there_once() -> None:
    words = [row[0].strip("*").lower() for row in rows(PAGES["docs/glossary.md"])]
    assert len(words) > 40
    assert words == sorted(set(words))


def test_the_pages_show_no_blocks_without_a_language() -> None:
    assert [block.page for page in PAGES for block in blocks(page) if not block.language] == []
