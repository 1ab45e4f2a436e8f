"""Let a conversation be of type `voice`.

The old rule may have any name, or none, or there may be several. So it is recognised by what it does: a CHECK on
`context_type` alone that refuses `voice`, or the made-up word `zyzzyva`, lists words, and ours replaces it. A rule
about length or letters lists no words and stays, under another name if ours needs its name. A comment keeps the
replaced rules for the downgrade.
"""

import verbatim_steps as steps
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        DO $$
        DECLARE
            rule record;
            is_list boolean;
            before jsonb := '[]';
            changes text := '';
            ours boolean := false;
        BEGIN
            FOR rule IN
                SELECT conname, pg_get_constraintdef(pg_constraint.oid) AS definition,
                       pg_get_expr(conbin, conrelid) AS expression
                FROM pg_constraint
                JOIN pg_attribute ON attrelid = conrelid AND conkey = ARRAY[attnum] AND attname = 'context_type'
                WHERE conrelid = 'conversations'::regclass AND contype = 'c'
                ORDER BY conname
            LOOP
                EXECUTE format(
                    'SELECT bool_or((%s) IS FALSE) FROM (VALUES (text %L), (%L)) AS probe (context_type)',
                    rule.expression, 'voice', 'zyzzyva'
                ) INTO is_list;
                IF is_list THEN
                    before := before || jsonb_build_object('name', rule.conname, 'definition', rule.definition);
                    changes := changes || format('DROP CONSTRAINT %I, ', rule.conname);
                    ours := rule.conname = 'conversations_context_type_check' AND ARRAY(
                        SELECT word[1] FROM regexp_matches(rule.definition, '''([^'']*)''', 'g') AS word ORDER BY 1
                    ) = ARRAY['goal', 'onboarding', 'reschedule', 'task', 'voice'];
                ELSIF rule.conname = 'conversations_context_type_check' THEN
                    ALTER TABLE conversations RENAME CONSTRAINT conversations_context_type_check
                    TO conversations_context_type_check_of_host;
                END IF;
            END LOOP;
            IF ours AND jsonb_array_length(before) = 1 THEN
                RETURN;
            END IF;
            EXECUTE 'ALTER TABLE conversations ' || changes || $rule$
                ADD CONSTRAINT conversations_context_type_check
                CHECK (context_type IN ('onboarding', 'goal', 'task', 'reschedule', 'voice')) NOT VALID
            $rule$;
            EXECUTE format(
                'COMMENT ON CONSTRAINT conversations_context_type_check ON conversations IS %L',
                'Made by Verbatim. Before: ' || before::text
            );
        END $$
    """)
    steps.validate("conversations", "conversations_context_type_check")


def downgrade() -> None:
    """Put the old rules back; refuse while there are rows that they would refuse."""
    op.execute("""
        DO $$
        DECLARE
            signature CONSTANT text := 'Made by Verbatim. Before: ';
            note text := (
                SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint
                WHERE conrelid = 'conversations'::regclass AND conname = 'conversations_context_type_check'
            );
            rule record;
            changes text := '';
            spoken bigint;
        BEGIN
            IF note IS NULL OR NOT starts_with(note, signature) THEN
                RETURN;
            END IF;
            FOR rule IN
                SELECT name, definition
                FROM jsonb_to_recordset(substr(note, length(signature) + 1)::jsonb) AS old (name name, definition text)
            LOOP
                changes := changes || format(
                    ', ADD CONSTRAINT %I %s NOT VALID', rule.name, regexp_replace(rule.definition, ' NOT VALID$', '')
                );
            END LOOP;
            FOR attempt IN 1..2 LOOP  -- before, without a lock; and again under it, in case one was begun meanwhile
                SELECT count(*) INTO spoken FROM conversations WHERE context_type = 'voice';
                IF spoken > 0 AND changes <> '' THEN
                    RAISE EXCEPTION USING
                        ERRCODE = 'VB001',
                        MESSAGE = format('%s conversations are of type voice, which the older rule refuses; '
                                         'erase them or give them another type before going back.', spoken);
                END IF;
                IF attempt = 1 THEN
                    EXECUTE 'ALTER TABLE conversations DROP CONSTRAINT conversations_context_type_check' || changes;
                    IF EXISTS (
                        SELECT FROM pg_constraint
                        WHERE conrelid = 'conversations'::regclass
                          AND conname = 'conversations_context_type_check_of_host'
                    ) THEN
                        ALTER TABLE conversations RENAME CONSTRAINT conversations_context_type_check_of_host
                        TO conversations_context_type_check;
                    END IF;
                END IF;
            END LOOP;
        END $$
    """)
    with op.get_context().autocommit_block(), steps.up_to_a_minute():
        op.execute("""
            DO $$
            DECLARE
                rule name;
            BEGIN
                FOR rule IN
                    SELECT conname
                    FROM pg_constraint
                    JOIN pg_attribute ON attrelid = conrelid AND conkey = ARRAY[attnum] AND attname = 'context_type'
                    WHERE conrelid = 'conversations'::regclass AND contype = 'c' AND NOT convalidated
                LOOP
                    BEGIN
                        EXECUTE format('ALTER TABLE conversations VALIDATE CONSTRAINT %I', rule);
                    EXCEPTION WHEN check_violation THEN
                        NULL;  -- the host had not validated it either
                    END;
                END LOOP;
            END $$
        """)
