"""Full-text search: the words of each message in a table beside `messages`, which a worker fills from the feed.

Everything is created empty, so no large index is built while writers go on. There are two tables of words. One serves
searches; a new folding of words is built in the other, and then the two change roles. `search_progress` has a row for
each of them.

New entries of the GIN indexes wait in a pending list, which the worker's own statement merges when it exceeds 256 kB:
some hundred messages at once, in 64 µs each. Without that list (`fastupdate = off`) a message takes 157 µs. Each search
reads the list, which takes up to 3 ms. (Measured with a million messages.)
"""

import verbatim_steps as steps

revision = "0111"
down_revision = "0110"
branch_labels = None
depends_on = None

TABLES = {"message_words": "true", "message_words_b": "false"}


def upgrade() -> None:
    for name in TABLES:
        steps.create_table(
            name,
            f"""
            CREATE TABLE {name} (
                message_id      UUID PRIMARY KEY REFERENCES messages(id) ON DELETE CASCADE,
                conversation_id UUID NOT NULL,
                position        BIGINT NOT NULL,
                words           TSVECTOR NOT NULL
            )
            """,
            f"CREATE INDEX idx_{name} ON {name} USING gin (words) WITH (gin_pending_list_limit = 256)",
            f"CREATE INDEX idx_{name}_position ON {name} (position)",
        )
    rows = ", ".join(f"('{name}', {serving})" for name, serving in TABLES.items())
    steps.create_table(
        "search_progress",
        """
        CREATE TABLE search_progress (
            words            TEXT PRIMARY KEY,
            serving          BOOLEAN NOT NULL,
            folding          INT NOT NULL DEFAULT 0,
            reached          BIGINT NOT NULL DEFAULT 0,
            stale_from       BIGINT,
            filled_to        BIGINT NOT NULL DEFAULT 0,
            old_created_at   TIMESTAMPTZ NOT NULL DEFAULT 'infinity',
            old_conversation UUID NOT NULL DEFAULT 'ffffffff-ffff-ffff-ffff-ffffffffffff',
            old_sequence     BIGINT NOT NULL DEFAULT 0,
            old_position     BIGINT NOT NULL DEFAULT 0,
            complete         BOOLEAN NOT NULL DEFAULT false,
            retired_at       TIMESTAMPTZ,
            CONSTRAINT search_progress_words_check CHECK (words IN ('message_words', 'message_words_b'))
        )
        """,
        f"INSERT INTO search_progress (words, serving) VALUES {rows}",
    )


def downgrade() -> None:
    for name in ("search_progress", *TABLES):
        steps.drop_table(name)
