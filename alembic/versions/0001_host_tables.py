"""The host's tables, each only where it is missing.

What Verbatim makes it signs with a comment, and the way down takes away only what is signed.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            IF to_regclass('goals') IS NULL THEN
                CREATE TABLE goals (id UUID PRIMARY KEY DEFAULT gen_random_uuid());
                COMMENT ON TABLE goals IS 'Made by Verbatim.';
            END IF;
            IF to_regclass('tasks') IS NULL THEN
                CREATE TABLE tasks (id UUID PRIMARY KEY DEFAULT gen_random_uuid());
                COMMENT ON TABLE tasks IS 'Made by Verbatim.';
            END IF;
            IF to_regclass('conversations') IS NULL THEN
                CREATE TABLE conversations (
                    id           UUID PRIMARY KEY DEFAULT gen_random_uuid(),
                    user_id      TEXT,
                    context_type TEXT NOT NULL CONSTRAINT conversations_context_type_check
                                 CHECK (context_type IN ('onboarding', 'goal', 'task', 'reschedule')),
                    messages     JSONB DEFAULT '[]',
                    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
                    updated_at   TIMESTAMPTZ NOT NULL DEFAULT now()
                );
                COMMENT ON TABLE conversations IS 'Made by Verbatim.';
            END IF;
        END $$
    """)


def downgrade() -> None:
    op.execute("""
        DO $$
        DECLARE
            name text;
        BEGIN
            FOREACH name IN ARRAY ARRAY['conversations', 'tasks', 'goals'] LOOP
                IF obj_description(to_regclass(name), 'pg_class') = 'Made by Verbatim.' THEN
                    EXECUTE format('DROP TABLE %s', to_regclass(name));
                END IF;
            END LOOP;
        END $$
    """)
