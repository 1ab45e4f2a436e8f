"""Holds of conversations, and the audit: who erased, redacted, held, exported, and made or revoked a token, and when.

Both tables outlive what they tell of, so neither refers to `conversations`. A trigger refuses every change of a row of
the audit, and the removal of a hold: a hold that has ended keeps its row, with the time of its end. Another refuses the
removal of a conversation on hold, also by the release before and by the host application. It fails as a foreign key
does, which the release before answers with 409.

`number` is the order of the rows, in nanoseconds since 1970: the sequences of two servers of a cluster are no order.
"""

import verbatim_steps as steps
from alembic import op

revision = "0120"
down_revision = "0115"
branch_labels = None
depends_on = None
compatible_from = "0109"  # what goes is the removal of what is on hold, and no release before can hold anything

_NUMBER = "((EXTRACT(epoch FROM clock_timestamp()) * (1000000000)::numeric))::bigint"
GUARDS = {"audit_entries": "UPDATE OR DELETE OR TRUNCATE", "conversation_holds": "DELETE OR TRUNCATE"}


def upgrade() -> None:
    steps.create_table(
        "conversation_holds",
        f"""
        CREATE TABLE conversation_holds (
            id              UUID PRIMARY KEY,
            number          BIGINT NOT NULL DEFAULT {_NUMBER},
            conversation_id UUID NOT NULL,
            reason          TEXT NOT NULL,
            held_at         TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
            held_by         TEXT NOT NULL,
            released_at     TIMESTAMPTZ,
            released_by     TEXT
        )
        """,
        """
        CREATE UNIQUE INDEX idx_conversation_holds_active ON conversation_holds (conversation_id)
        WHERE released_at IS NULL
        """,
        "CREATE INDEX idx_conversation_holds_conversation ON conversation_holds (conversation_id, number)",
        "CREATE INDEX idx_conversation_holds_number ON conversation_holds (number, id)",
    )
    steps.create_table(
        "audit_entries",
        f"""
        CREATE TABLE audit_entries (
            id              UUID PRIMARY KEY,
            number          BIGINT NOT NULL DEFAULT {_NUMBER},
            at              TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
            action          TEXT NOT NULL,
            actor           TEXT NOT NULL,
            conversation_id UUID,
            message_id      UUID,
            details         JSONB NOT NULL DEFAULT '{{}}'
        )
        """,
        "CREATE INDEX idx_audit_entries_number ON audit_entries (number, id)",
        "CREATE INDEX idx_audit_entries_action ON audit_entries (action, number)",
        """
        CREATE INDEX idx_audit_entries_conversation ON audit_entries (conversation_id, number)
        WHERE conversation_id IS NOT NULL
        """,
    )
    op.execute("""
        CREATE OR REPLACE FUNCTION verbatim_keep_rows() RETURNS trigger LANGUAGE plpgsql AS $body$
        BEGIN
            RAISE EXCEPTION USING
                ERRCODE = 'VB003', MESSAGE = format('The rows of %s stay as they are.', TG_TABLE_NAME);
        END $body$
    """)
    for table, changes in GUARDS.items():
        op.execute(f"""
            CREATE OR REPLACE TRIGGER verbatim_keep_{table} BEFORE {changes} ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION verbatim_keep_rows()
        """)
    steps.qualified("""
        CREATE OR REPLACE FUNCTION verbatim_keep_held() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            IF EXISTS (
                SELECT FROM %3$s.conversation_holds WHERE conversation_id = OLD.id AND released_at IS NULL
            ) THEN
                RAISE EXCEPTION USING
                    ERRCODE = 'restrict_violation', CONSTRAINT = 'verbatim_keep_held',
                    MESSAGE = 'The conversation ' || OLD.id || ' is on hold.';
            END IF;
            RETURN OLD;
        END $body$
    """)
    op.execute("REVOKE ALL ON FUNCTION verbatim_keep_held() FROM PUBLIC")
    steps.alone("""
        CREATE OR REPLACE TRIGGER verbatim_keep_held BEFORE DELETE ON conversations
        FOR EACH ROW EXECUTE FUNCTION verbatim_keep_held()
    """)


def downgrade() -> None:
    steps.alone("DROP TRIGGER IF EXISTS verbatim_keep_held ON conversations")
    op.execute("DROP FUNCTION IF EXISTS verbatim_keep_held()")
    for table in GUARDS:
        steps.drop_table(table)
    op.execute("DROP FUNCTION IF EXISTS verbatim_keep_rows()")
