"""Let deliveries outlive their conversation, so that an orchestrator is told of its erasure, and of what came before.

The foreign key that removed them goes. A trigger removes those of intents, which hold what a person wants,
also when the release before or the host application deletes the conversation.
"""

import verbatim_steps as steps
from alembic import op

revision = "0122"
down_revision = "0121"
branch_labels = None
depends_on = None
compatible_from = "0109"  # no release relies on the foreign key: the trigger does what it did

FOREIGN_KEY = "deliveries_conversation_id_fkey"


def upgrade() -> None:
    # The trigger first: at no moment does an erasure leave an intent behind.
    steps.qualified("""
        CREATE OR REPLACE FUNCTION verbatim_forget_intents() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            DELETE FROM %3$s.deliveries WHERE conversation_id = OLD.id AND type = 'intent.extracted';
            RETURN NULL;
        END $body$
    """)
    op.execute("REVOKE ALL ON FUNCTION verbatim_forget_intents() FROM PUBLIC")
    op.execute("""
        CREATE OR REPLACE TRIGGER verbatim_forget_intents AFTER DELETE ON conversations
        FOR EACH ROW EXECUTE FUNCTION verbatim_forget_intents()
    """)
    steps.alone(f"ALTER TABLE deliveries DROP CONSTRAINT IF EXISTS {FOREIGN_KEY}")


def downgrade() -> None:
    steps.alone(f"""
        DO $$
        BEGIN
            IF NOT EXISTS (
                SELECT FROM pg_constraint WHERE conrelid = 'deliveries'::regclass AND conname = '{FOREIGN_KEY}'
            ) THEN
                ALTER TABLE deliveries ADD CONSTRAINT {FOREIGN_KEY}
                    FOREIGN KEY (conversation_id) REFERENCES conversations(id) ON DELETE CASCADE NOT VALID;
            END IF;
        END $$
    """)
    # The key is there, so no erasure leaves another behind.
    steps.alone("""
        DELETE FROM deliveries WHERE NOT EXISTS (SELECT FROM conversations WHERE id = deliveries.conversation_id)
    """)
    steps.validate("deliveries", FOREIGN_KEY)
    op.execute("DROP TRIGGER IF EXISTS verbatim_forget_intents ON conversations")
    op.execute("DROP FUNCTION IF EXISTS verbatim_forget_intents()")
