"""Steps that the revisions share. Frozen: a revision that has run must mean the same when it runs again.

A new kind of step is a new function. An old function changes only where its SQL stays the same.

Each step can be done twice: it looks first whether its work is there. Each step but `qualified` is a transaction of its
own, so that no transaction holds locks on two tables, and a revision that was interrupted is begun anew.

PostgreSQL queues every later transaction behind an ALTER TABLE that waits for its lock, so `env.py` sets `lock_timeout`
to 200 ms and tries again. A step behind which no transaction queues (CREATE INDEX CONCURRENTLY, VALIDATE CONSTRAINT)
waits up to one minute.

`backend/migrations/runner.py` loads this module as `verbatim_steps`, from the checkout or from the wheel. For the
command `alembic`, `alembic.ini` puts this folder on the path.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import dedent, indent

from alembic import op


def alone(statement: str) -> None:
    """Execute ``statement`` as a transaction of its own."""
    with op.get_context().autocommit_block():
        op.execute(statement)


def add_columns(table: str, columns: Mapping[str, str]) -> None:
    """Add the columns that ``table`` lacks, each with its type and perhaps a constant default, and sign them."""
    values = ", ".join(f"({place}, '{name}', '{kind}')" for place, (name, kind) in enumerate(columns.items()))
    alone(f"""
        DO $$
        DECLARE
            wanted record;
        BEGIN
            FOR wanted IN
                SELECT name, kind
                FROM (VALUES {values}) AS added (place, name, kind)
                WHERE NOT EXISTS (
                    SELECT FROM pg_attribute
                    WHERE attrelid = '{table}'::regclass AND attname = name AND NOT attisdropped
                )
                ORDER BY place
            LOOP
                EXECUTE format('ALTER TABLE {table} ADD COLUMN %I %s', wanted.name, wanted.kind);
                EXECUTE format('COMMENT ON COLUMN {table}.%I IS %L', wanted.name, 'Made by Verbatim.');
            END LOOP;
        END $$
    """)


def drop_columns(table: str, columns: Sequence[str]) -> None:
    """Drop those of ``columns`` that `add_columns` has added; a column of the host's stays."""
    names = ", ".join(f"'{name}'" for name in columns)
    alone(f"""
        DO $$
        DECLARE
            added name;
        BEGIN
            FOR added IN
                SELECT attname
                FROM pg_attribute
                WHERE attrelid = '{table}'::regclass AND attname IN ({names})
                  AND col_description(attrelid, attnum) = 'Made by Verbatim.'
            LOOP
                EXECUTE format('ALTER TABLE {table} DROP COLUMN %I', added);
            END LOOP;
        END $$
    """)


def create_table(name: str, *statements: str) -> None:
    """Create a table of Verbatim's own by ``statements`` and sign it; refuse a table of that name without signature."""
    create = ";\n".join(statement.strip() for statement in statements)
    alone(f"""
        DO $$
        BEGIN
            IF to_regclass('{name}') IS NULL THEN
                {create};
                COMMENT ON TABLE {name} IS 'Made by Verbatim.';
            ELSIF obj_description('{name}'::regclass, 'pg_class') IS DISTINCT FROM 'Made by Verbatim.' THEN
                RAISE EXCEPTION USING ERRCODE = 'VB001', MESSAGE =
                    'There is a table {name} that is not Verbatim''s; rename it, then run the same again.';
            END IF;
        END $$
    """)


def drop_table(name: str) -> None:
    """Drop a table that `create_table` has created."""
    alone(f"""
        DO $$
        BEGIN
            IF obj_description(to_regclass('{name}'), 'pg_class') = 'Made by Verbatim.' THEN
                DROP TABLE {name};
            END IF;
        END $$
    """)


def build_index(name: str, definition: str, *, unique: bool = False) -> None:
    """Build an index while writers go on; ``definition`` is what follows ON, as ``messages (feed_position)``."""
    kind = "UNIQUE INDEX" if unique else "INDEX"
    with op.get_context().autocommit_block():
        # An interrupted CONCURRENTLY leaves an invalid index, which IF NOT EXISTS would take for the real one.
        op.execute(f"""
            DO $$
            BEGIN
                IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('{name}') AND NOT indisvalid) THEN
                    DROP INDEX {name};
                END IF;
            END $$
        """)
        with up_to_a_minute():
            op.execute(f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} ON {definition}")


def drop_index(name: str) -> None:
    """Drop an index that `build_index` has built."""
    alone(f"DROP INDEX IF EXISTS {name}")


def add_checks(table: str, rules: Mapping[str, str]) -> None:
    """Add CHECKs by their names: new rows are checked at once, old rows are read afterwards, while writers go on."""
    values = ",\n".join(f"('{name}', $rule${expression.strip()}$rule$)" for name, expression in rules.items())
    alone(f"""
        DO $do$
        DECLARE
            rule record;
        BEGIN
            FOR rule IN
                SELECT name, expression
                FROM (VALUES {values}) AS added (name, expression)
                WHERE NOT EXISTS (
                    SELECT FROM pg_constraint WHERE conrelid = '{table}'::regclass AND conname = name
                )
            LOOP
                EXECUTE format(
                    'ALTER TABLE {table} ADD CONSTRAINT %I CHECK (%s) NOT VALID', rule.name, rule.expression
                );
            END LOOP;
        END $do$
    """)
    for name in rules:
        validate(table, name)


def drop_checks(table: str, names: Sequence[str]) -> None:
    """Drop the CHECKs that `add_checks` has added."""
    for name in names:
        alone(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")


def validate(table: str, name: str) -> None:
    """Hold the old rows against a constraint that was added as NOT VALID."""
    with op.get_context().autocommit_block(), up_to_a_minute():
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def qualified(statement: str) -> None:
    """Execute ``statement`` in the revision's transaction, with the schema's name put in where the tables are.

    ``%1$s`` is conversations, ``%2$s`` is messages, ``%3$s`` the schema of messages, each quoted as it must be. A
    function that runs as its owner needs these names, because it must not follow its caller's `search_path`.
    """
    create = indent(dedent(statement).strip(), " " * 16)
    op.execute(f"""
        DO $do$
        DECLARE
            conversations CONSTANT text := (
                SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
                WHERE pg_class.oid = 'conversations'::regclass
            );
            messages CONSTANT text := (
                SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
                WHERE pg_class.oid = 'messages'::regclass
            );
            host CONSTANT text := (
                SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
                WHERE pg_class.oid = 'messages'::regclass
            );
        BEGIN
            EXECUTE format($create$\n{create}
            $create$, conversations, messages, host);
        END $do$
    """)


def define_take_place(*, taken: str) -> None:
    """Define the function that gives a message its place; ``taken`` is how many of its conversation's places are taken.

    The function runs as the tables' owner, so that a writer needs no right but INSERT.
    """
    qualified(f"""
        CREATE OR REPLACE FUNCTION verbatim_take_place() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        DECLARE
            counted bigint;
            taken bigint;
        BEGIN
            SELECT last_sequence INTO counted FROM %1$s WHERE id = NEW.conversation_id FOR NO KEY UPDATE;
            SELECT {taken} INTO taken FROM %2$s WHERE conversation_id = NEW.conversation_id;
            NEW.sequence := greatest(counted, taken, 0) + 1;
            IF NEW.created_at = transaction_timestamp() THEN
                NEW.created_at := clock_timestamp();
            END IF;
            IF NEW."timestamp" BETWEEN statement_timestamp() AND clock_timestamp() THEN
                NEW."timestamp" := NEW.created_at;
            END IF;
            RETURN NEW;
        END $body$
    """)


@contextmanager
def up_to_a_minute() -> Iterator[None]:
    """Wait longer for locks, in an autocommit block: no transaction queues behind the statements inside."""
    op.execute("SET lock_timeout = '1min'")
    yield
    op.execute("SET lock_timeout = '200ms'")
