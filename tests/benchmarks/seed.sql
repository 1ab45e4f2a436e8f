-- The host application's tables as they were, and the seed's change of them.

CREATE TABLE goals (id UUID PRIMARY KEY DEFAULT gen_random_uuid());
CREATE TABLE tasks (id UUID PRIMARY KEY DEFAULT gen_random_uuid());
CREATE TABLE conversations (
    id              UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id         TEXT,
    context_type    TEXT NOT NULL CONSTRAINT conversations_context_type_check
                    CHECK (context_type IN ('onboarding', 'goal', 'task', 'reschedule')),
    messages        JSONB DEFAULT '[]',
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE TABLE messages (
    id              UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    conversation_id UUID NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
    role            TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'function')),
    content         TEXT NOT NULL,
    input_modality  TEXT NOT NULL DEFAULT 'text' CHECK (input_modality IN ('voice', 'text')),
    metadata        JSONB DEFAULT '{}',
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_messages_conversation ON messages(conversation_id, created_at);
ALTER TABLE conversations ADD COLUMN voice_session_id  TEXT;
ALTER TABLE conversations ADD COLUMN extracted_intent  TEXT;
ALTER TABLE conversations ADD COLUMN intent_payload    JSONB;
ALTER TABLE conversations ADD COLUMN linked_goal_id    UUID REFERENCES goals(id);
ALTER TABLE conversations ADD COLUMN linked_task_id    UUID REFERENCES tasks(id);
ALTER TABLE conversations ADD COLUMN ended_at          TIMESTAMPTZ;
ALTER TABLE conversations ADD COLUMN duration_seconds  INT;
ALTER TABLE conversations DROP CONSTRAINT conversations_context_type_check;
ALTER TABLE conversations ADD CONSTRAINT conversations_context_type_check
    CHECK (context_type IN ('onboarding', 'goal', 'task', 'reschedule', 'voice'));
